from __future__ import annotations

import asyncio
import math
from typing import Any

import pytest

from phasm_fdb import DuplicateAction, InputError, Layer, aio
from phasm_fdb.database.ranges import rows
from phasm_fdb.database.transactional import run
from phasm_fdb.keys import pack_element
from phasm_fdb.keyspace import stamp_of
from phasm_fdb.outbox import IdRow
from phasm_fdb.records import Record
from phasm_fdb.runtime import Attempt, Handlers
from tests.runtime.machines import Cancel, CheckJob, Done, Job, Jobs, Order, Remind
from tests.runtime.virtual import World, in_virtual_time, killed


def recording(world: World) -> tuple[Handlers, list[tuple[int, float]]]:
    handlers, calls = Handlers(), []

    @handlers.on(Job, CheckJob)
    async def job(action: Job, attempt: Attempt) -> Done:
        calls.append((action.id, round(world.loop.time(), 1)))
        return Done()

    return handlers, calls


@in_virtual_time
async def test_an_action_is_started_when_it_is_due_and_not_before(world: World) -> None:
    layer, (handlers, calls) = world.layer(Jobs()), recording(world)
    async with world.worker(layer, handlers):
        for id, options in enumerate(({"after": 100.0}, {"at": world.now_ms() + 50_000}, {}, {"after": 0.0})):
            await aio.run(layer.apply, world.db, Order(id, **options))
        await world.until(lambda: len(calls) == 4)
    assert sorted(calls) == [(0, 100.0), (1, 50.0), (2, 0.0), (3, 0.0)]


@in_virtual_time
async def test_an_earlier_timer_that_comes_later_is_not_missed(world: World) -> None:
    layer, (handlers, calls) = world.layer(Jobs(), lanes=1), recording(world)
    async with world.worker(layer, handlers, poll_seconds=1_000.0, lease_seconds=1_000.0):
        await aio.run(layer.apply, world.db, Order(1, after=500.0))
        await asyncio.sleep(1.0)
        await aio.run(layer.apply, world.db, Order(2, after=5.0))
        await world.until(lambda: len(calls) == 2, 600.0, step=1.0)
    assert calls == [(2, 6.0), (1, 500.0)]


@in_virtual_time
async def test_a_timer_is_pending_and_can_be_cancelled_by_its_id(world: World) -> None:
    layer, (handlers, calls) = world.layer(Jobs()), recording(world)
    async with world.worker(layer, handlers):
        await aio.run(layer.apply, world.db, Order(1, after=10.0))
        await aio.run(layer.apply, world.db, Remind(2, after=10.0))
        assert [action.id for action in layer.pending(world.db)] == [1]
        for taken in (Order(1), Remind(2, after=1.0), Remind(1, after=1.0)):
            with pytest.raises(DuplicateAction):
                await aio.run(layer.apply, world.db, taken)
        await aio.run(layer.apply, world.db, Cancel(1))
        await aio.run(layer.apply, world.db, Cancel(2))
        await asyncio.sleep(20.0)
        await aio.run(layer.apply, world.db, Order(1))
        await world.until(lambda: calls == [(1, 20.0)])
    assert dict(layer.view(world.db).reminded.items()) == {}


@in_virtual_time
async def test_a_timer_that_is_cancelled_where_it_is_made_never_fires(world: World) -> None:
    layer, (handlers, calls) = world.layer(Jobs()), recording(world)

    def both(tr: object) -> None:
        layer.apply(tr, Order(1, after=5.0))
        layer.apply(tr, Cancel(1))
        layer.apply(tr, Remind(2, after=5.0))
        layer.apply(tr, Cancel(2))

    run(world.db, both)
    async with world.worker(layer, handlers):
        await asyncio.sleep(20.0)
    assert calls == []
    assert dict(layer.view(world.db).reminded.items()) == {}


@in_virtual_time
async def test_an_input_for_later_is_delivered_exactly_once_over_takeovers(world: World) -> None:
    layer, (handlers, _) = world.layer(Jobs()), recording(world)
    for id in range(60):
        await aio.run(layer.apply, world.db, Remind(id, after=float(id)))
    for number in range(12):
        task = world.loop.create_task(world.worker(layer, handlers, f"w{number}", lease_seconds=1.0).run())
        await asyncio.sleep(6.0)
        await killed(task)
    async with world.worker(layer, handlers, lease_seconds=1.0):
        await world.until(lambda: len(list(layer.view(world.db).reminded.items())) == 60)
        await asyncio.sleep(10.0)
    assert {count for _, count in layer.view(world.db).reminded.items()} == {1}


@in_virtual_time
async def test_an_id_is_free_again_once_its_reminder_was_delivered(world: World) -> None:
    layer, (handlers, calls) = world.layer(Jobs()), recording(world)
    async with world.worker(layer, handlers):
        await aio.run(layer.apply, world.db, Remind(1, after=1.0))
        await world.until(lambda: 1 in layer.view(world.db).reminded)
        await aio.run(layer.apply, world.db, Order(1))
        await world.until(lambda: len(calls) == 1)


@in_virtual_time
async def test_many_timers_for_next_year_cost_nothing_today(world: World) -> None:
    layer, (handlers, calls) = world.layer(Jobs()), recording(world)
    for id in range(0, 10_000, 200):
        run(
            world.db,
            lambda tr, id=id: [layer.apply(tr, Order(id + n, after=365 * 86_400.0)) for n in range(200)],  # type: ignore[misc]
        )
    async with world.worker(layer, handlers, lease_seconds=100.0) as worker:
        await asyncio.sleep(10.0)
        assert sum(lane.window.loaded for lane in worker._lanes) == 0
        await aio.run(layer.apply, world.db, Order(50_000))
        await world.until(lambda: calls == [(50_000, 10.0)])


def give_floats(layer: Layer, db: Any, times: dict[int, float]) -> None:
    """Let timers be due at floats, as they were when a float was taken for the time of an input."""
    keys = layer.keyspace

    def body(tr: Any) -> None:
        for row, value in list(rows(tr, keys.all_timers, keys.all_timers + b"\xff")):
            record, stamp, (lane, _) = Record.decode(value), stamp_of(row), keys.timer_of(row)
            due = times[record.id(stamp)]
            tr.clear(row)
            tr.set(keys.due_prefix(lane, due) + pack_element(stamp), value)  # type: ignore[arg-type]
            tr.set(keys.id_row(record.packed(stamp)), IdRow(lane, stamp.user_version, False, due).encode())  # type: ignore[arg-type]

    run(db, body)


@in_virtual_time
async def test_timers_that_older_code_gave_floats_as_times_fall_due(world: World) -> None:
    layer, (handlers, calls) = world.layer(Jobs(), lanes=1), recording(world)
    for id in range(1, 6):
        layer.apply(world.db, Order(id, after=1e6))
    floats = {1: world.now_ms() + 2_500.5, 2: math.nan, 3: -math.inf, 4: math.inf, 5: world.now_ms() - 0.5}
    give_floats(layer, world.db, floats)
    rounds = 0
    async with world.worker(layer, handlers) as worker:
        looked = worker._dispatcher._round

        async def counting() -> bool:
            nonlocal rounds
            rounds += 1
            assert rounds < 1_000, "the worker spins"
            return await looked()

        worker._dispatcher._round = counting  # type: ignore[method-assign]
        await asyncio.sleep(20.0)
    assert sorted(id for id, _ in calls) == [1, 2, 3, 5]
    assert dict(calls)[1] >= 2.5
    assert rounds < 200, "the worker does not look at the one that is never due again and again"
    assert [tracked.id for tracked in layer.pending(world.db)] == [4]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"after": -1.0}, "must be a number of seconds"),
        ({"after": float("nan")}, "must be a number of seconds"),
        ({"at": -5}, "must be integer milliseconds"),
        ({"after": 1.0, "at": 5}, "is due twice"),
    ],
)
def test_times_that_make_no_sense_are_refused(options: dict[str, object], message: str) -> None:
    @in_virtual_time
    async def test(world: World) -> None:
        layer = world.layer(Jobs())
        with pytest.raises(InputError, match=message):
            layer.apply(world.db, Order(1, **options))  # type: ignore[arg-type]
        assert list(layer.pending(world.db)) == []

    test()
