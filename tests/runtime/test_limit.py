from __future__ import annotations

import asyncio
from typing import Any

import pytest

from phasm_fdb import aio
from phasm_fdb.database.transactional import run
from phasm_fdb.embedded import open_memory
from phasm_fdb.lease import Lease
from phasm_fdb.runtime import Attempt, Handlers, Limit
from tests.runtime.machines import Cancel, Done, Job, Jobs, Order, SlowJob
from tests.runtime.virtual import World, in_virtual_time, killed


@pytest.mark.parametrize(
    "wrong", [{"concurrency": 0}, {"per_second": 0.0}, {"burst": 3}, {"per_second": 1.0, "burst": 0}]
)
def test_a_limit_that_makes_no_sense_is_refused(wrong: Any) -> None:
    with pytest.raises(ValueError, match="must be"):
        Limit(**wrong)


class Gauge:
    """Handlers that note how many slow jobs run at once, and when each began."""

    def __init__(self, world: World, limit: Limit, seconds: float) -> None:
        self.handlers = Handlers()
        self.now = self.most = 0
        self.begun: list[float] = []
        self.others: list[float] = []

        @self.handlers.on(SlowJob, limit=limit)
        async def slow(action: Any, attempt: Attempt) -> Done:
            self.now += 1
            self.most = max(self.most, self.now)
            self.begun.append(world.loop.time())
            try:
                await asyncio.sleep(seconds)
            finally:
                self.now -= 1
            return Done()

        @self.handlers.on(Job)
        async def job(action: Any, attempt: Attempt) -> Done:
            self.others.append(world.loop.time())
            return Done()


@in_virtual_time
async def test_a_concurrency_limit_holds_across_workers_and_is_used(world: World) -> None:
    layer, gauge = world.layer(Jobs()), Gauge(world, Limit(concurrency=3), seconds=1.0)
    workers = [world.worker(layer, gauge.handlers, f"w{n}") for n in range(3)]
    tasks = [world.loop.create_task(worker.run()) for worker in workers]
    for id in range(60):
        await aio.run(layer.apply, world.db, Order(id, slow=True, key="k" if id % 10 == 0 else None))
    for id in range(60, 80):
        await aio.run(layer.apply, world.db, Order(id))
    await world.until(lambda: len(gauge.others) == 20, 1.0)
    seconds = await world.until(lambda: not list(layer.pending(world.db)), 60.0)
    assert gauge.most == 3
    assert seconds < 35.0, "60 seconds of work, three at once, and a moment to hand a slot over"
    for worker, task in zip(workers, tasks, strict=True):
        worker.stop()
        await task


@in_virtual_time
async def test_the_slots_of_a_dead_worker_are_free_again(world: World) -> None:
    layer, gauge = world.layer(Jobs()), Gauge(world, Limit(concurrency=2), seconds=1_000.0)
    task = world.loop.create_task(world.worker(layer, gauge.handlers, lease_seconds=2.0).run())
    await aio.run(layer.apply, world.db, Order(1, slow=True))
    await aio.run(layer.apply, world.db, Order(3, slow=True))
    await world.until(lambda: gauge.now == 2)
    await killed(task)
    again = Gauge(world, Limit(concurrency=2), seconds=1.0)
    async with world.worker(layer, again.handlers, lease_seconds=2.0):
        await world.until(lambda: not list(layer.pending(world.db)), 10.0)


@in_virtual_time
async def test_a_slot_of_a_lane_that_was_lost_is_free_again(world: World) -> None:
    """Its action may be gone by the time the same worker has the lane again."""
    layer, gauge = world.layer(Jobs(), lanes=1), Gauge(world, Limit(concurrency=1), seconds=500.0)
    async with world.worker(layer, gauge.handlers, lease_seconds=2.0) as worker:
        await aio.run(layer.apply, world.db, Order(1, slow=True))
        await world.until(lambda: gauge.now == 1)
        run(world.db, lambda tr: tr.set(layer.keyspace.lease(0), Lease(0, 9, b"an operator").encode()))
        await aio.run(layer.apply, world.db, Cancel(1))
        await aio.run(layer.apply, world.db, Order(3, slow=True))
        await world.until(lambda: {lease.token for lease in worker._lanes.held().values()} == {10}, 10.0)
        await world.until(lambda: len(gauge.begun) == 2, 20.0)


@in_virtual_time
async def test_a_slot_is_given_back_by_actions_that_fail_or_are_cancelled(world: World) -> None:
    from phasm_fdb.runtime import Retry

    layer, handlers = world.layer(Jobs()), Handlers()

    @handlers.on(SlowJob, limit=Limit(concurrency=1), retry=Retry(max_attempts=1))
    async def slow(action: Any, attempt: Attempt) -> Done:
        await asyncio.sleep(1.0)
        raise OSError

    async with world.worker(layer, handlers) as worker:
        for id in range(6):
            await aio.run(layer.apply, world.db, Order(id, slow=True))
        await world.until(lambda: worker.counts.get("actions.started") == 1)
        for id in range(3):
            await aio.run(layer.apply, world.db, Cancel(id))
        await world.until(lambda: not list(layer.pending(world.db)), 20.0)


@in_virtual_time
async def test_a_rate_limit_holds_across_workers_and_is_used(world: World) -> None:
    layer, gauge = world.layer(Jobs()), Gauge(world, Limit(per_second=5.0, burst=5), seconds=0.0)
    workers = [world.worker(layer, gauge.handlers, f"w{n}") for n in range(3)]
    tasks = [world.loop.create_task(worker.run()) for worker in workers]
    await asyncio.sleep(20.0)
    for id in range(100):
        await aio.run(layer.apply, world.db, Order(id, slow=True))
    await world.until(lambda: not list(layer.pending(world.db)), 60.0)
    for worker, task in zip(workers, tasks, strict=True):
        worker.stop()
        await task
    begun = sorted(gauge.begun)
    assert len(begun) == 100
    for first in range(100):
        within = [time for time in begun if begun[first] <= time < begun[first] + 4.0]
        assert len(within) <= 5 + 4 * 5 + 1, "no more than the burst and the rate allow"
    assert begun[-1] - begun[0] < 100 / 5.0 * 1.35, "and not much less either"


@in_virtual_time
async def test_a_type_at_its_limit_does_not_stand_in_the_way_of_others(world: World) -> None:
    layer, gauge = world.layer(Jobs(), lanes=1), Gauge(world, Limit(per_second=1.0), seconds=0.0)
    for id in range(2_500):
        layer.apply(world.db, Order(id, slow=True))
    layer.apply(world.db, Order(9_999))
    async with world.worker(layer, gauge.handlers, concurrency=4) as worker:
        await world.until(lambda: len(gauge.others) == 1, 5.0)
        assert sum(lane.window.loaded for lane in worker._lanes) <= 1_100, "and the window stays bounded"
        await world.until(lambda: len(gauge.begun) > 20, 60.0)


@in_virtual_time
async def test_a_slot_that_becomes_free_in_the_same_worker_is_used_at_once(world: World) -> None:
    layer, gauge = world.layer(Jobs()), Gauge(world, Limit(concurrency=1), seconds=0.01)
    async with world.worker(layer, gauge.handlers):
        for id in range(40):
            await aio.run(layer.apply, world.db, Order(id, slow=True))
        assert await world.until(lambda: not list(layer.pending(world.db))) < 2.0


@in_virtual_time
async def test_a_rate_is_given_where_nothing_else_is_committed(world: World) -> None:
    """Versions stand still then: what tells the time must not."""
    layer, gauge = world.layer(Jobs()), Gauge(world, Limit(per_second=20.0, burst=5), seconds=0.0)
    for id in range(100):
        layer.apply(world.db, Order(id, slow=True))
    async with world.worker(layer, gauge.handlers):
        await world.until(lambda: len(gauge.begun) == 100, 30.0)
    assert 4.5 < gauge.begun[-1] - gauge.begun[0] < 5.2, "95 of them at 20 a second"


@pytest.mark.parametrize("back", [1.0, 100.0, 10_000.0])
def test_a_rate_is_given_after_the_databases_clock_was_set_back(back: float) -> None:
    @in_virtual_time
    async def test(world: World) -> None:
        behind = 0.0
        world.db = open_memory(
            clock=lambda: 20_000.0 + world.loop.time() - behind,
            sleep=world.loop.jump,
            random=world.chance.random,
            call_later=world.loop.call_later,
        )
        layer, gauge = world.layer(Jobs()), Gauge(world, Limit(per_second=20.0, burst=5), seconds=0.0)
        for id in range(40):
            layer.apply(world.db, Order(id, slow=True))
        first = world.loop.create_task(world.worker(layer, gauge.handlers, "first").run())
        await world.until(lambda: len(gauge.begun) == 20, 30.0)
        behind = back
        await world.until(lambda: len(gauge.begun) == 40, 3.0)
        for id in range(100, 200):
            await aio.run(layer.apply, world.db, Order(id, slow=True))
        async with world.worker(layer, gauge.handlers, "second"):  # it knows nothing of the time before
            await world.until(lambda: len(gauge.begun) == 140, 7.0)
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        assert gauge.begun[-1] - gauge.begun[40] > 95 / 20 * 0.9, "and no more than that"

    test()
