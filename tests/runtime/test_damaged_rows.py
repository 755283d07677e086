"""Random bytes in any row end no worker: what can be told goes to the dead letters, and everything else goes on."""

from __future__ import annotations

import asyncio
import random
from dataclasses import make_dataclass
from typing import Any

import msgpack
import pytest

from phasm_fdb import CodecError, Layer, Tracked, aio
from phasm_fdb.database.transactional import run
from phasm_fdb.keys import pack_element
from phasm_fdb.runtime import Attempt, Handlers, Limit, Retry
from tests.runtime.machines import Append, CheckJob, Done, Job, Jobs, Order, Remind, SlowJob
from tests.runtime.virtual import World, in_virtual_time, killed

NASTY = [
    *(b"", b"\xc1", b"\xff" * 40, b"\xdd\xff\xff\xff\xff", b"\x91" * 3_000, b"\xa5ab", b"\x00" * 90_000),
    *(
        msgpack.packb(one)
        for one in (None, 7, "text", [], [1], {"a": 1}, [None] * 4, [b"", {}, b""], [b"x", 1, b"y", 2, 3])
    ),
    msgpack.packb([b"\x01", {"$": "Job", "id": "one"}, None]),
    msgpack.packb([-1, 2**63, True, 2**60]),
    msgpack.packb([0, False, 0, 2**63, "", b"short", None]),
]


def working() -> tuple[Handlers, list[int]]:
    handlers, calls = Handlers(), []

    @handlers.on(Job, CheckJob, retry=Retry(first_delay=0.5, max_delay=1.0, max_attempts=5))
    async def job(action: Any, attempt: Attempt) -> Done:
        calls.append(action.id)
        await asyncio.sleep(0.2)
        if attempt.number == 1:
            raise OSError
        return Done()

    handlers.on(SlowJob, retry=Retry(first_delay=0.5, max_attempts=5), limit=Limit(concurrency=2, per_second=50.0))(job)
    return handlers, calls


async def fill(world: World, layer: Layer) -> None:
    """Actions, timers and inputs of every kind, some of them in doubt."""
    for id in range(12):
        key = f"k{id % 2}" if id % 3 == 0 else None
        await aio.run(layer.apply, world.db, Order(id, key=key, slow=id % 4 == 0, after=30.0 if id % 5 == 4 else None))
    for id in range(20, 24):
        await aio.run(layer.apply, world.db, Remind(id, after=20.0))
    handlers, calls = working()
    task = world.loop.create_task(world.worker(layer, handlers, lease_seconds=1.0).run())
    await world.until(lambda: len(calls) >= 6)
    await killed(task)
    for number in range(6):
        await aio.run(layer.submit, world.db, Append(f"{number % 2}", str(number)), number, number % 2)


def rows_of(world: World, layer: Layer, name: str) -> list[tuple[bytes, bytes]]:
    prefix = layer.keyspace.prefix + pack_element(name)
    return [(row.key, row.value) for row in world.db.create_transaction().get_range(prefix, prefix + b"\xff")]


async def goes_on(world: World, layer: Layer) -> None:
    """A worker lives with it, and does what comes anew in every lane."""
    handlers, _ = working()
    worker = world.worker(layer, handlers, "survivor", lease_seconds=1.0)
    task = world.loop.create_task(worker.run())
    await asyncio.sleep(40.0)
    assert not task.done(), task
    assert len(worker.lanes) in (2, 7), "seven is a wish that can be granted"
    for id in range(100, 116):
        await aio.run(layer.apply, world.db, Order(id, slow=id % 4 == 0))
        await aio.run(layer.submit, world.db, Append("new", str(id)), ("new", id))
    await world.until(lambda: len(layer.view(world.db).words.get("new", [])) == 16, 60.0, step=0.5)
    await world.until(lambda: all(id in layer.view(world.db).results for id in range(100, 116)), 60.0, step=0.5)
    turns = worker._dispatcher._turn
    await asyncio.sleep(20.0)
    assert worker._dispatcher._turn - turns < 500, "it does not spin"
    worker.stop()
    await asyncio.wait_for(task, 60.0)


@pytest.mark.parametrize("name", list("anqtivlwckgxzfdreo"))
@pytest.mark.parametrize("share", [0.4, 1.0])
def test_random_bytes_in_the_rows_of_a_kind_end_no_worker(name: str, share: float) -> None:
    @in_virtual_time
    async def test(world: World) -> None:
        rng = random.Random(f"{name} {share}")
        layer = world.layer(Jobs(), lanes=2)
        await fill(world, layer)
        for key, _ in rows_of(world, layer, name):
            if rng.random() < share:
                value = rng.choice([*NASTY, rng.randbytes(rng.randrange(1, 60))])
                run(world.db, lambda tr, key=key, value=value: tr.set(key, value))  # type: ignore[misc]
        prefix = layer.keyspace.prefix + pack_element(name)
        if name not in "ie":  # a key by itself is no row of theirs
            for suffix in (b"", b"\x15\x00", b"\x00", b"\x15\x01" + b"\x33" + bytes(12), pack_element("x") * 2):
                value = rng.choice(NASTY)
                run(world.db, lambda tr, key=prefix + suffix, value=value: tr.set(key, value))  # type: ignore[misc]
        await goes_on(world, layer)
        layer.dead_letters(world.db)

    test()


@in_virtual_time
async def test_a_damaged_action_and_input_are_dead_letters_with_their_bytes(world: World) -> None:
    layer = world.layer(Jobs(), lanes=1)
    layer.apply(world.db, Order(1))
    layer.apply(world.db, Order(3, after=1.0))
    layer.submit(world.db, Append("k", "lost"), request_id="r")
    layer.submit(world.db, Append("k", "kept"), request_id="s")
    damaged = [rows_of(world, layer, name)[0][0] for name in "atq"]
    for key in damaged:
        run(world.db, lambda tr, key=key: tr.set(key, b"\xc1 hostile"))  # type: ignore[misc]
    async with world.worker(layer, Handlers()):
        await world.until(lambda: len(layer.dead_letters(world.db)) == 3)
        assert (await layer.outcome(world.db, "s")).reply == 1
    letters = layer.dead_letters(world.db)
    assert sorted(letter.kind for letter in letters) == ["action", "action", "input"]
    for letter in letters:
        assert letter.raw == b"\xc1 hostile"
        assert (letter.id, letter.payload) == (None, None)
        assert letter.cause.startswith("CodecError: ")
        assert any(repr(key)[2:40] in letter.cause for key in damaged), "the row is named"
        with pytest.raises(CodecError, match="discard it"):
            layer.requeue(world.db, letter.stamp)
        assert layer.discard(world.db, letter.stamp)
    assert layer.dead_letters(world.db) == []
    assert rows_of(world, layer, "f") == []


@in_virtual_time
async def test_a_damaged_dead_letter_is_shown_as_it_is_and_can_be_discarded(world: World) -> None:
    layer, handlers = world.layer(Jobs()), Handlers()
    handlers.on(Job, retry=Retry(max_attempts=1))(lambda action, attempt: "not declared")
    async with world.worker(layer, handlers):
        await aio.run(layer.apply, world.db, Order(1))
        await world.until(lambda: bool(layer.dead_letters(world.db)))
    ((key, _),) = rows_of(world, layer, "d")
    run(world.db, lambda tr: tr.set(key, b"\xc1"))
    (letter,) = layer.dead_letters(world.db)
    assert letter.raw == b"\xc1"
    assert layer.discard(world.db, letter.stamp)
    assert layer.dead_letters(world.db) == []


@pytest.mark.parametrize("key", [None, "k"])
def test_the_way_from_an_id_to_its_action_is_mended(key: str | None) -> None:
    @in_virtual_time
    async def test(world: World) -> None:
        layer, handlers = world.layer(Jobs()), Handlers()
        handlers.on(Job)(lambda action, attempt: Done())
        layer.apply(world.db, Order(1, key=key))
        layer.apply(world.db, Order(3, key=key))
        for name, value in (("i", b"\xc1"), ("v", b"?" * 12)):
            for row, _ in rows_of(world, layer, name):
                run(world.db, lambda tr, row=row, value=value: tr.set(row, value))  # type: ignore[misc]
        async with world.worker(layer, handlers):
            await world.until(lambda: {1, 3} <= set(layer.view(world.db).results.keys()))
            await asyncio.sleep(10.0)
        assert {id: len(texts) for id, texts in layer.view(world.db).results.items()} == {1: 1, 3: 1}
        for name in "aniv":
            assert rows_of(world, layer, name) == []

    test()


@in_virtual_time
async def test_what_newer_code_wrote_in_a_newer_form_is_left_to_it(world: World) -> None:
    newer_job = make_dataclass("Job", [("id", int), ("place", str)], frozen=True)
    newer_append = make_dataclass("Append", [("key", str), ("word", str), ("loud", bool)], frozen=True)

    class NewerJobs(Jobs):
        name = "Jobs"
        Input = Order | newer_append  # type: ignore[valid-type]
        TrackedAction = newer_job

        def stf(self, state: Any, input: Any, actions: Any) -> Any:
            if type(getattr(input, "payload", None)) is newer_append:
                state.words[input.payload.key] = [*state.words.get(input.payload.key, []), input.payload.word]
                return "newer"
            return super().stf(state, input, actions)

    newer = world.layer(NewerJobs(), lanes=1)

    class Emits(NewerJobs):
        name = "Jobs"

        def stf(self, state: Any, input: Any, actions: Any) -> Any:
            order = input.payload
            actions.add(Tracked(order.id, newer_job(order.id, "here"), ordering_key=order.key))

    emit = world.layer(Emits(), lanes=1)
    for id, key in ((1, None), (2, "k")):
        emit.apply(world.db, Order(id, key=key))
    newer.submit(world.db, newer_append("k", "first", True), request_id="n", ordering_key="q")
    older, (handlers, calls) = world.layer(Jobs(), lanes=1), working()
    older.submit(world.db, Append("k", "second"), request_id="o", ordering_key="q")
    async with world.worker(older, handlers) as worker:
        await aio.run(older.apply, world.db, Order(5))
        await aio.run(older.apply, world.db, Order(7, key="k"))
        assert (await older.call(world.db, Append("other", "x"), ordering_key="z")).reply == 1
        await world.until(lambda: 5 in older.view(world.db).results)
        await asyncio.sleep(60.0)
        assert set(calls) == {5}, "and those behind them wait"
        assert worker.counts.get("dead_letters", 0) == 0
    ran, newer_handlers = [], Handlers()
    newer_handlers.on(newer_job)(lambda action, attempt: (ran.append(action), Done())[1])
    async with world.worker(newer, newer_handlers):
        assert (await newer.outcome(world.db, "n")).reply == "newer"
        await world.until(lambda: len(ran) == 2)
