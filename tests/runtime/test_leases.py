"""Lanes, leases and fencing: many workers, none of them in charge."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from phasm_fdb import StaleLease, aio
from phasm_fdb.database.transactional import run
from phasm_fdb.lease import Lease
from phasm_fdb.runtime import Attempt, Handlers
from phasm_fdb.runtime.worker_transaction import WorkerTransaction
from tests.runtime.machines import CheckJob, Done, Job, Jobs, Order
from tests.runtime.virtual import Pause, World, in_virtual_time, killed


def doing(world: World, seconds: float = 0.1) -> tuple[Handlers, list[int]]:
    """Handlers whose jobs take so long, and the ids of the jobs they were called for."""
    handlers, calls = Handlers(), []

    @handlers.on(Job)
    async def job(action: Job, attempt: Attempt) -> Done:
        calls.append(action.id)
        await asyncio.sleep(seconds)
        return Done()

    return handlers, calls


def results(world: World, layer: Any) -> dict[int, int]:
    """How many results were applied, by id."""
    return {id: len(texts) for id, texts in layer.view(world.db).results.items()}


@in_virtual_time
async def test_live_workers_share_the_lanes_fairly_as_they_come_and_go(world: World) -> None:
    layer, (handlers, _) = world.layer(Jobs(), lanes=10), doing(world)
    await aio.run(layer.apply, world.db, Order(0))
    workers = [world.worker(layer, handlers, f"w{n}", lease_seconds=4.0) for n in range(4)]
    tasks = [world.loop.create_task(worker.run()) for worker in workers]

    def counts() -> list[int]:
        return sorted(len(worker.lanes) for worker in workers)

    await world.until(lambda: counts() == [2, 2, 3, 3], 10.0)
    assert sorted(lane for worker in workers for lane in worker.lanes) == list(range(10))
    await killed(tasks[0])
    await killed(tasks[1])
    await world.until(lambda: len(workers[2].lanes) == len(workers[3].lanes) == 5, 8.0)
    workers[2].stop()
    await tasks[2]
    await world.until(lambda: len(workers[3].lanes) == 10, 2.0)
    workers[3].stop()
    await tasks[3]


@in_virtual_time
async def test_the_lanes_of_a_dead_worker_are_taken_over_within_two_lease_times(world: World) -> None:
    layer, (handlers, calls) = world.layer(Jobs()), doing(world, seconds=1_000)
    first = world.worker(layer, handlers, lease_seconds=5.0)
    task = world.loop.create_task(first.run())
    for id in (1, 3, 5):
        await aio.run(layer.apply, world.db, Order(id))
    await world.until(lambda: len(calls) == 3)
    other, again = doing(world)
    async with world.worker(layer, other, lease_seconds=5.0) as second:
        await world.until(lambda: len(second.lanes) == 4)
        await killed(task)
        assert await world.until(lambda: len(second.lanes) == 8) <= 10.0
        await world.until(lambda: not list(layer.pending(world.db)), 10.0)
        assert second.counts["leases.takeovers"] >= 4
    assert sorted(again) == [1, 3, 5]
    assert results(world, layer) == {1: 1, 3: 1, 5: 1}


@in_virtual_time
async def test_a_call_that_is_cancelled_before_it_begins_leaves_its_room_to_others(world: World) -> None:
    """The lane is lost in the very moment in which its action is started, and comes back."""
    layer, (handlers, calls) = world.layer(Jobs(), lanes=1), doing(world)
    async with world.worker(layer, handlers, concurrency=1, lease_seconds=2.0) as worker:
        dispatcher = worker._dispatcher
        begin = dispatcher._begin

        def begin_and_lose(started: Any) -> None:
            begin(started)
            dispatcher._begin = begin  # type: ignore[method-assign]
            worker._lanes.lost(0)

        dispatcher._begin = begin_and_lose  # type: ignore[method-assign]
        await aio.run(layer.apply, world.db, Order(1))
        await world.until(lambda: not worker.lanes, 5.0)
        await world.until(lambda: not list(layer.pending(world.db)), 30.0)
    assert calls == [1]
    assert results(world, layer) == {1: 1}


@in_virtual_time
async def test_a_paused_worker_that_wakes_up_can_do_nothing(world: World) -> None:
    """The zombie's handlers went on, and their results come under a stale token."""
    layer, (handlers, zombie_calls) = world.layer(Jobs(), lanes=1), doing(world, seconds=3.0)
    zombie = world.worker(layer, handlers, "zombie", lease_seconds=2.0)
    pause = Pause(zombie)
    task = world.loop.create_task(zombie.run())
    await aio.run(layer.apply, world.db, Order(1))
    await aio.run(layer.apply, world.db, Order(2))
    await world.until(lambda: len(zombie_calls) == 2)
    pause.stop()
    other, calls = Handlers(), []

    @other.on(Job, CheckJob)
    async def job(action: Job, attempt: Attempt) -> Done:
        calls.append((action.id, attempt.number))
        await asyncio.sleep(30.0)
        return Done("the survivor's")

    survivor = world.worker(layer, other, "survivor", lease_seconds=2.0)
    survivor_task = world.loop.create_task(survivor.run())
    await world.until(lambda: len(calls) == 2, 10.0)
    await asyncio.sleep(5.0)
    pause.resume()
    await world.until(lambda: zombie.counts.get("actions.stale") == 2, 10.0)
    await world.until(lambda: not list(layer.pending(world.db)), 60.0)
    assert zombie.counts.get("actions.completed", 0) == 0
    state = layer.view(world.db)
    assert {id: list(texts) for id, texts in state.results.items()} == {
        1: ['Done(text="the survivor\'s")'],
        2: ['Done(text="the survivor\'s")'],
    }
    survivor.stop()
    await survivor_task
    zombie.stop()
    await task


@in_virtual_time
async def test_a_stale_token_raises_and_nothing_is_written(world: World) -> None:
    layer = world.layer(Jobs())
    keys, lease = layer.keyspace, Lease(3, 7, b"me")

    def write(tr: Any) -> None:
        WorkerTransaction(layer.context, tr, 0.0).fence(lease)
        tr.set(b"proof", b"")

    run(world.db, lambda tr: tr.set(keys.lease(3), lease.encode()))
    run(world.db, write)
    run(world.db, lambda tr: tr.clear(b"proof"))
    for taken in (Lease(3, 8, b"other"), Lease(3, 8, b"me"), Lease(3, 7, None)):
        run(world.db, lambda tr, taken=taken: tr.set(keys.lease(3), taken.encode()))  # type: ignore[misc]
        with pytest.raises(StaleLease, match="lane 3 is no longer held under the token 7"):
            run(world.db, write)
        assert world.db.create_transaction().get(b"proof").wait().value is None


@in_virtual_time
async def test_a_takeover_makes_a_transaction_under_way_fail(world: World) -> None:
    layer, lease = world.layer(Jobs()), Lease(3, 7, b"me")
    run(world.db, lambda tr: tr.set(layer.keyspace.lease(3), lease.encode()))
    tr = world.db.create_transaction()
    WorkerTransaction(layer.context, tr, 0.0).fence(lease)
    tr.set(b"proof", b"")
    run(world.db, lambda other: other.set(layer.keyspace.lease(3), lease.taken_by(b"other").encode()))
    with pytest.raises(Exception, match="1020"):
        tr.commit().wait()


@in_virtual_time
async def test_the_token_grows_with_every_holder(world: World) -> None:
    layer, (handlers, _) = world.layer(Jobs(), lanes=1), doing(world)
    tokens = []
    for _ in range(4):
        async with world.worker(layer, handlers) as worker:
            await world.until(lambda worker=worker: worker.lanes == (0,))  # type: ignore[misc]
            tokens.append(
                Lease.decode(0, world.db.create_transaction().get(layer.keyspace.lease(0)).wait().value).token
            )
    assert tokens == [1, 2, 3, 4]


@in_virtual_time
async def test_clocks_that_disagree_do_not_matter(world: World) -> None:
    layer, (handlers, calls) = world.layer(Jobs(), lanes=4), doing(world)
    fast = world.worker(layer, handlers, "fast", lease_seconds=3.0, clock=lambda: world.clock() + 86_400.0)
    slow = world.worker(layer, handlers, "slow", lease_seconds=3.0, clock=lambda: world.clock() - 86_400.0)
    tasks = [world.loop.create_task(worker.run()) for worker in (fast, slow)]
    await world.until(lambda: len(fast.lanes) == len(slow.lanes) == 2, 10.0)
    await asyncio.sleep(30.0)
    for id in range(40):
        await aio.run(layer.apply, world.db, Order(id))
    await world.until(lambda: not list(layer.pending(world.db)), 10.0)
    assert fast.counts.get("leases.takeovers", 0) == slow.counts.get("leases.takeovers", 0) == 0
    assert sorted(calls) == list(range(40))
    for worker, task in zip((fast, slow), tasks, strict=True):
        worker.stop()
        await task


@in_virtual_time
async def test_a_worker_judged_dead_while_it_was_paused_starts_anew(world: World) -> None:
    layer, (handlers, calls) = world.layer(Jobs(), lanes=4), doing(world)
    workers = [world.worker(layer, handlers, name, lease_seconds=2.0) for name in ("one", "two")]
    pause = Pause(workers[0])
    tasks = [world.loop.create_task(worker.run()) for worker in workers]
    await world.until(lambda: len(workers[0].lanes) == len(workers[1].lanes) == 2)
    pause.stop()
    await world.until(lambda: len(workers[1].lanes) == 4)
    pause.resume()
    await world.until(lambda: len(workers[0].lanes) == len(workers[1].lanes) == 2, 5.0)
    for id in range(20):
        await aio.run(layer.apply, world.db, Order(id))
    await world.until(lambda: not list(layer.pending(world.db)))
    assert sorted(calls) == list(range(20))
    for worker, task in zip(workers, tasks, strict=True):
        worker.stop()
        await task


@in_virtual_time
async def test_one_watch_a_held_lane_is_open_and_none_after(world: World) -> None:
    layer, (handlers, _) = world.layer(Jobs(), lanes=16), doing(world)
    async with world.worker(layer, handlers) as worker:
        await world.until(lambda: len(worker.lanes) == 16)
        for id in range(100):
            await aio.run(layer.apply, world.db, Order(id))
        await world.until(lambda: not list(layer.pending(world.db)))
        await asyncio.sleep(20.0)
        open_watches = [lane.watch for lane in worker._lanes if lane.watch is not None]
        assert len(open_watches) == 16
    assert all(watch.is_ready() for watch in open_watches), "cancelled"


@in_virtual_time
async def test_a_lost_watch_is_made_up_for_by_the_poll(world: World) -> None:
    layer, (handlers, calls) = world.layer(Jobs()), doing(world)
    async with world.worker(layer, handlers, poll_seconds=7.0) as worker:
        await world.until(lambda: len(worker.lanes) == 8)
        await asyncio.sleep(1.0)
        for lane in worker._lanes:
            lane.watch = _Deaf(lane.watch)
        await aio.run(layer.apply, world.db, Order(1))
        assert await world.until(lambda: calls == [1], 8.0) > 0.5


class _Deaf:
    """Stands where a watch was that the worker will never hear of."""

    def __init__(self, watch: Any) -> None:
        self._watch = watch

    def cancel(self) -> None:
        self._watch.cancel()


@in_virtual_time
async def test_a_lane_that_is_found_in_other_hands_is_dropped(world: World) -> None:
    layer, (handlers, calls) = world.layer(Jobs(), lanes=1), doing(world)
    async with world.worker(layer, handlers, lease_seconds=2.0) as worker:
        await world.until(lambda: worker.lanes == (0,))
        run(world.db, lambda tr: tr.set(layer.keyspace.lease(0), Lease(0, 9, b"an operator").encode()))
        await asyncio.sleep(2.0)
        assert worker._lanes.held() == {0: Lease(0, 10, worker._keeper.session)}
        await aio.run(layer.apply, world.db, Order(1))
        await world.until(lambda: not list(layer.pending(world.db)))
    assert calls == [1]


@in_virtual_time
async def test_a_worker_that_cannot_make_its_heartbeats_starts_nothing_after_a_lease_time(world: World) -> None:
    """Others may have judged it dead by then, although it can reach the database."""
    layer, (handlers, calls) = world.layer(Jobs()), doing(world)
    async with world.worker(layer, handlers, lease_seconds=2.0) as worker:
        await world.until(lambda: len(worker.lanes) == 8)
        counted, gate = worker._transact.counted, asyncio.Event()

        async def without_heartbeats(body: Any, *args: Any, **time: Any) -> Any:
            if body.__name__ == "beat":
                await gate.wait()
            return await counted(body, *args, **time)

        worker._transact.counted = without_heartbeats  # type: ignore[method-assign]
        await asyncio.sleep(0.5)
        await aio.run(layer.apply, world.db, Order(1))
        await world.until(lambda: calls == [1], 1.0)
        await asyncio.sleep(3.0)
        await aio.run(layer.apply, world.db, Order(3))
        await asyncio.sleep(20.0)
        assert calls == [1]
        gate.set()
        await world.until(lambda: calls == [1, 3], 10.0)


@in_virtual_time
async def test_a_lane_that_a_slow_action_keeps_from_being_handed_over_goes_on(world: World) -> None:
    layer, handlers, calls = world.layer(Jobs(), lanes=2), Handlers(), []

    @handlers.on(Job)
    async def job(action: Job, attempt: Attempt) -> Done:
        calls.append(action.id)
        await asyncio.sleep(1_000.0 if action.id < 20 else 0.1)
        return Done()

    first = world.worker(layer, handlers, "first", lease_seconds=2.0)
    task = world.loop.create_task(first.run())
    for id in range(20):
        await aio.run(layer.apply, world.db, Order(id))
    await world.until(lambda: len(calls) == 20)
    async with world.worker(layer, handlers, "second", lease_seconds=2.0) as second:
        await asyncio.sleep(5.0)
        for id in range(20, 40):
            await aio.run(layer.apply, world.db, Order(id))
        await world.until(lambda: len(calls) == 40, 10.0)
        # By chance it is empty at last while it is to be handed over: two seconds of each twenty-two.
        await world.until(lambda: len(second.lanes) == len(first.lanes) == 1, 10_000.0, step=1.0)
    first.stop()
    await task
