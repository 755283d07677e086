"""`stf` that fails on a result or a timer: the result is kept, the call is not repeated, and the failure is seen."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, make_dataclass
from typing import Any

import pytest

from phasm_fdb import Counter, Layer, Map, Normal, State, StateMachine, Tracked, TrackedActionCompleted, aio
from phasm_fdb.database.transactional import run
from phasm_fdb.runtime import Attempt, Handlers, Retry
from tests.runtime.virtual import World, in_virtual_time, killed


@dataclass(frozen=True)
class Pay:
    id: int
    key: str | None = None


@dataclass(frozen=True)
class Cancel:
    id: int


@dataclass(frozen=True)
class Later:
    id: int
    key: str | None = None


@dataclass(frozen=True)
class Due:
    id: int


@dataclass(frozen=True)
class Charge:
    id: int


@dataclass(frozen=True)
class Charged:
    receipt: str


class TillState(State):
    rates = Map(str, int)
    receipts = Map(int, str)
    due = Map(int, int)
    count = Counter()


class Broken(StateMachine):
    """Takes payments, and has a bug: it looks up a rate that nobody has set."""

    name = "Till"
    State = TillState
    Input = Pay | Cancel | Later | Due
    TrackedAction = Charge
    TrackedResult = Charged

    def stf(self, state: Any, input: Any, actions: Any) -> Any:
        match input:
            case Normal(Pay(id, key)):
                actions.add(Tracked(id, Charge(id), ordering_key=key))
            case Normal(Cancel(id)):
                actions.cancel(id)
            case Normal(Later(id, key)):
                actions.later(("due", id), Due(id), after=1.0, ordering_key=key)
            case Normal(Due(id)):
                self.take(state)
                state.due[id] = state.due.get(id, 0) + 1
            case TrackedActionCompleted(id, Charged(receipt)):
                self.take(state)
                state.receipts[id] = receipt

    def take(self, state: Any) -> None:
        state.rates.get("usd")
        state.count.add(state.rates["eur"])


class Mended(Broken):
    name = "Till"

    def take(self, state: Any) -> None:
        state.count.add(1)


class Bank:
    """Counts the calls that it gets."""

    def __init__(self, retry: Retry, size: int = 0) -> None:
        self.calls: list[int] = []
        self.handlers = Handlers()

        @self.handlers.on(Charge, retry=retry)
        async def charge(action: Charge, attempt: Attempt) -> Charged:
            self.calls.append(action.id)
            return Charged(f"receipt {action.id}" + "x" * size)


def rows_of_failures(world: World, layer: Layer) -> int:
    tr = world.db.create_transaction()
    prefix = layer.keyspace.failure(b"")[0][:-2]
    return len(list(tr.get_range(prefix, prefix + b"\xff")))


@pytest.mark.parametrize("key", [None, "k"])
@pytest.mark.parametrize("size", [0, 300_000])
def test_the_result_is_kept_and_new_code_applies_it(key: str | None, size: int) -> None:
    @in_virtual_time
    async def test(world: World) -> None:
        bank = Bank(Retry(first_delay=1.0, max_delay=60.0), size)
        layer = world.layer(Broken())
        await aio.run(layer.apply, world.db, Pay(1, key))
        task = world.loop.create_task(world.worker(layer, bank.handlers, "old", lease_seconds=2.0).run())
        await asyncio.sleep(60.0)
        assert bank.calls == [1]
        assert [tracked.id for tracked in layer.pending(world.db)] == [1]
        await killed(task)
        mended = world.layer(Mended())
        async with world.worker(mended, bank.handlers, "new", lease_seconds=2.0):
            await world.until(lambda: not list(mended.pending(world.db)), 90.0)
        assert bank.calls == [1], "the outside call is not made again"
        assert mended.view(world.db).receipts[1] == "receipt 1" + "x" * size
        assert mended.dead_letters(world.db) == []
        assert rows_of_failures(world, mended) == 0

    test()


@pytest.mark.parametrize("key", [None, "k"])
def test_a_spent_policy_leaves_a_dead_letter_that_holds_all_and_whose_result_can_be_applied(key: str | None) -> None:
    @in_virtual_time
    async def test(world: World) -> None:
        bank = Bank(Retry(first_delay=0.1, max_attempts=3))
        layer = world.layer(Broken())
        async with world.worker(layer, bank.handlers) as worker:
            await aio.run(layer.apply, world.db, Pay(1, key))
            await world.until(lambda: bool(layer.dead_letters(world.db)))
            assert worker.counts["results.kept"] == 2
        (letter,) = layer.dead_letters(world.db)
        assert (letter.id, letter.payload, letter.ordering_key, letter.attempts) == (1, Charge(1), key, 1)
        assert letter.result == Charged("receipt 1")
        assert letter.cause == "KeyError: 'eur'"
        assert 'state.count.add(state.rates["eur"])' in letter.traceback
        assert [(read.place, repr(read.value)) for read in letter.reads] == [
            ("rates['usd']", "nothing"),
            ("rates['eur']", "nothing"),
        ]
        mended = world.layer(Mended())
        assert mended.requeue(world.db, letter.stamp)
        async with world.worker(mended, bank.handlers):
            await world.until(lambda: 1 in mended.view(world.db).receipts)
        assert bank.calls == [1]
        assert mended.dead_letters(world.db) == []
        assert rows_of_failures(world, mended) == 0

    test()


@in_virtual_time
async def test_an_action_whose_result_is_kept_can_be_cancelled_completed_and_discarded(world: World) -> None:
    bank = Bank(Retry(first_delay=1.0))
    layer = world.layer(Broken())
    async with world.worker(layer, bank.handlers) as worker:
        for id, key in ((1, None), (2, "k"), (3, None), (4, "l")):
            await aio.run(layer.apply, world.db, Pay(id, key))
        await world.until(lambda: worker.counts.get("results.kept", 0) >= 4)
        assert rows_of_failures(world, layer) == 4
        for id in (1, 2):
            await aio.run(layer.apply, world.db, Cancel(id))
        for id in (3, 4):
            await aio.run(world.layer(Mended()).complete, world.db, id, Charged("by hand"))
        await asyncio.sleep(60.0)
        await aio.run(layer.apply, world.db, Pay(2, "k"))
        await world.until(lambda: bank.calls.count(2) == 2)
    assert rows_of_failures(world, layer) == 1
    assert [tracked.id for tracked in layer.pending(world.db)] == [2]
    dying = Bank(Retry(max_attempts=1))
    async with world.worker(layer, dying.handlers):
        await world.until(lambda: bool(layer.dead_letters(world.db)), 90.0)
    assert layer.discard(world.db, layer.dead_letters(world.db)[0].stamp)
    assert rows_of_failures(world, layer) == 0


@in_virtual_time
async def test_it_moves_with_its_action_when_the_layer_is_resized(world: World) -> None:
    bank = Bank(Retry(first_delay=5.0))
    layer = world.layer(Broken(), lanes=2)
    async with world.worker(layer, bank.handlers) as worker:
        for id in range(8):
            await aio.run(layer.apply, world.db, Pay(id, "k" if id % 2 else None))
        await world.until(lambda: worker.counts.get("results.kept", 0) >= 5)
    layer.resize(world.db, 7)
    mended = world.layer(Mended())
    async with world.worker(mended, bank.handlers):
        await world.until(lambda: not list(mended.pending(world.db)), 120.0)
    assert sorted(bank.calls) == list(range(8))
    assert rows_of_failures(world, mended) == 0


@in_virtual_time
async def test_a_result_that_decodes_no_more_is_a_dead_letter_that_shows_it(world: World) -> None:
    other = make_dataclass("Charged", [("receipt", int)], frozen=True)
    bank = Bank(Retry(first_delay=0.5, max_attempts=2))
    layer = world.layer(Broken())
    task = world.loop.create_task(world.worker(layer, bank.handlers, lease_seconds=1.0).run())
    await aio.run(layer.apply, world.db, Pay(1))
    await world.until(lambda: rows_of_failures(world, layer) > 0)
    await killed(task)
    newer = world.layer(type("Newer", (Broken,), {"name": "Till", "TrackedResult": other})())
    async with world.worker(newer, bank.handlers, lease_seconds=1.0):
        await world.until(lambda: bool(newer.dead_letters(world.db)))
    (letter,) = newer.dead_letters(world.db)
    assert letter.result == {"$": "Charged", "receipt": "receipt 1"}
    assert layer.dead_letters(world.db)[0].result == Charged("receipt 1")
    assert bank.calls == [1]


@in_virtual_time
async def test_a_result_that_newer_code_kept_is_left_to_it(world: World) -> None:
    bank = Bank(Retry(first_delay=0.5, max_attempts=5))
    layer = world.layer(Broken())
    await aio.run(layer.apply, world.db, Pay(1, "k"))
    await aio.run(layer.apply, world.db, Pay(2))
    task = world.loop.create_task(world.worker(layer, bank.handlers, lease_seconds=1.0).run())
    await world.until(lambda: rows_of_failures(world, layer) == 2)
    await killed(task)
    other = make_dataclass("Receipt", [("number", int)], frozen=True)
    older = world.layer(type("Older", (Broken,), {"name": "Till", "TrackedResult": other})())
    async with world.worker(older, bank.handlers, lease_seconds=1.0):
        await asyncio.sleep(60.0)
    assert older.dead_letters(world.db) == []
    mended = world.layer(Mended())
    async with world.worker(mended, bank.handlers, lease_seconds=1.0):
        await world.until(lambda: not list(mended.pending(world.db)), 90.0)
    assert sorted(bank.calls) == [1, 2]


@in_virtual_time
async def test_a_timer_is_tried_again_and_new_code_takes_it(world: World) -> None:
    layer = world.layer(Broken())
    async with world.worker(layer, Handlers()):
        await aio.run(layer.apply, world.db, Later(1))
        await asyncio.sleep(100.0)
        assert layer.dead_letters(world.db) == []
    mended = world.layer(Mended())
    async with world.worker(mended, Handlers()):
        await world.until(lambda: 1 in mended.view(world.db).due, 90.0)
        await asyncio.sleep(100.0)
    assert dict(mended.view(world.db).due.items()) == {1: 1}


@pytest.mark.parametrize("key", [None, "k"])
def test_a_timer_that_fails_for_good_is_a_dead_letter_with_all_that_is_known(key: str | None) -> None:
    @in_virtual_time
    async def test(world: World) -> None:
        layer = world.layer(Broken())
        async with world.worker(layer, Handlers()):
            await aio.run(layer.apply, world.db, Later(1, key))
            await world.until(lambda: bool(layer.dead_letters(world.db)), 3_600.0, step=1.0)
        (letter,) = layer.dead_letters(world.db)
        assert (letter.kind, letter.payload, letter.cause) == ("input", Due(1), "KeyError: 'eur'")
        assert letter.attempts == (30 if key is None else 1), "who waits behind it does not wait for ever"
        assert "in take" in letter.traceback
        assert [read.place for read in letter.reads] == ["rates['usd']", "rates['eur']"]
        mended = world.layer(Mended())
        assert mended.requeue(world.db, letter.stamp)
        async with world.worker(mended, Handlers()):
            await world.until(lambda: 1 in mended.view(world.db).due)
        assert rows_of_failures(world, mended) == 0

    test()


@in_virtual_time
async def test_the_log_has_ids_and_the_traceback_the_first_time(world: World) -> None:
    lines: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = lines.append  # type: ignore[method-assign]
    logger = logging.getLogger("phasm_fdb.worker")
    logger.addHandler(handler)
    try:
        layer, bank = world.layer(Broken()), Bank(Retry(first_delay=0.1, max_attempts=4))
        async with world.worker(layer, bank.handlers):
            await aio.run(layer.apply, world.db, Pay(7))
            await aio.run(layer.submit, world.db, Due(8), "r-8")
            await world.until(lambda: len(layer.dead_letters(world.db)) == 2)
    finally:
        logger.removeHandler(handler)
    results = [line for line in lines if getattr(line, "id", None) == 7]
    assert [line.levelno for line in results] == [logging.ERROR, logging.WARNING, logging.WARNING, logging.ERROR]
    assert [line.exc_info is not None for line in results] == [True, False, False, True]
    assert "Till failed on the result of Charge 7 for the 1. time" in results[0].getMessage()
    (input,) = [line for line in lines if getattr(line, "id", None) == "r-8"]
    assert input.levelno == logging.ERROR
    assert input.exc_info is not None
    assert "Till failed on the input Due 'r-8'" in input.getMessage()


@in_virtual_time
async def test_the_policys_own_result_is_kept_too(world: World) -> None:
    layer, handlers, calls = world.layer(Broken()), Handlers(), []

    @handlers.on(Charge, retry=Retry(max_attempts=1, on_exhausted=lambda action, error: Charged("none")))
    async def charge(action: Charge, attempt: Attempt) -> Charged:
        calls.append(action.id)
        raise OSError("down")

    async with world.worker(layer, handlers):
        await aio.run(layer.apply, world.db, Pay(1))
        await world.until(lambda: bool(layer.dead_letters(world.db)))
    (letter,) = layer.dead_letters(world.db)
    assert (letter.result, letter.cause, calls) == (Charged("none"), "KeyError: 'eur'", [1])


@in_virtual_time
async def test_a_failed_call_has_its_traceback_in_the_dead_letter(world: World) -> None:
    layer, handlers = world.layer(Mended()), Handlers()

    @handlers.on(Charge, retry=Retry(max_attempts=1))
    async def charge(action: Charge, attempt: Attempt) -> Charged:
        raise OSError("down")

    async with world.worker(layer, handlers):
        await aio.run(layer.apply, world.db, Pay(1))
        await world.until(lambda: bool(layer.dead_letters(world.db)))
    (letter,) = layer.dead_letters(world.db)
    assert 'raise OSError("down")' in letter.traceback
    assert (letter.result, letter.reads, letter.raw) == (None, (), None)
    assert layer.requeue(world.db, letter.stamp)
    assert rows_of_failures(world, layer) == 0


@in_virtual_time
async def test_a_kept_result_whose_rows_are_gone_is_a_dead_letter_that_says_so(world: World) -> None:
    layer, bank = world.layer(Broken()), Bank(Retry(first_delay=1.0))
    async with world.worker(layer, bank.handlers):
        await aio.run(layer.apply, world.db, Pay(1))
        await world.until(lambda: rows_of_failures(world, layer) > 0)
        prefix = layer.keyspace.failure(b"")[0][:-2]
        run(world.db, lambda tr: tr.clear_range(prefix, prefix + b"\xff"))
        await world.until(lambda: bool(layer.dead_letters(world.db)))
    assert layer.dead_letters(world.db)[0].cause.startswith("ResultLost: the result of 1 was kept")
    assert bank.calls == [1]
