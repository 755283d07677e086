"""The same ordering key is strictly one after another: in a lane, across lanes and takeovers, and while resizing."""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from typing import Any

import pytest

from phasm_fdb import aio
from phasm_fdb.runtime import Attempt, Handlers, Retry, Worker, window
from tests.runtime.machines import Cancel, CheckJob, Done, Job, Jobs, Order
from tests.runtime.virtual import World, in_virtual_time, killed


class Log:
    """Records when each job ran, and that no two of a key ever overlap."""

    def __init__(self, world: World, keys: int, failing: float = 0.0) -> None:
        self.handlers = Handlers()
        self.first: dict[int, list[int]] = defaultdict(list)
        self._keys, self._failing, self._chance = keys, failing, random.Random(3)
        self._running: set[int] = set()

        @self.handlers.on(Job, CheckJob, retry=Retry(first_delay=0.5, max_delay=2.0))
        async def job(action: Any, attempt: Attempt) -> Done:
            key = action.id % self._keys
            assert key not in self._running, "two actions of a key at once"
            self._running.add(key)
            try:
                await asyncio.sleep(self._chance.random())
            finally:
                self._running.discard(key)
            if self._chance.random() < self._failing:
                raise OSError
            self.first[key].append(action.id)
            return Done()

    def check(self, count: int) -> None:
        """All ran, in the order of their ids; one whose worker was lost may have run again before the next."""
        assert sum(len(set(ids)) for ids in self.first.values()) == count
        for ids in self.first.values():
            assert ids == sorted(ids)


async def order(world: World, layer: Any, count: int, keys: int) -> None:
    for id in range(count):
        await aio.run(layer.apply, world.db, Order(id, key=f"key {id % keys}"))


@in_virtual_time
async def test_in_one_worker_with_failures(world: World) -> None:
    layer, log = world.layer(Jobs(), lanes=2), Log(world, keys=5, failing=0.3)
    async with world.worker(layer, log.handlers):
        await order(world, layer, 100, keys=5)
        await world.until(lambda: not list(layer.pending(world.db)), 500.0, step=1.0)
    log.check(100)


@in_virtual_time
async def test_a_key_with_more_actions_than_the_window_holds(world: World) -> None:
    layer, log = world.layer(Jobs(), lanes=1), Log(world, keys=2)
    await order(world, layer, 700, keys=2)
    async with world.worker(layer, log.handlers):
        await world.until(lambda: not list(layer.pending(world.db)), 1_000.0, step=5.0)
    log.check(700)


def test_keys_that_keep_failing_hold_up_themselves_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = 600
    monkeypatch.setattr(window, "LANE_ROOM", keys // 2)

    @in_virtual_time
    async def test(world: World) -> None:
        layer, handlers, done = world.layer(Jobs(), lanes=1), Handlers(), []
        is_down = True

        @handlers.on(Job, retry=Retry(first_delay=60.0, max_delay=60.0))
        async def job(action: Job, attempt: Attempt) -> Done:
            if action.id < 2 * keys and is_down:
                raise OSError("down")
            done.append(action.id)
            return Done()

        for id in range(2 * keys):
            layer.apply(world.db, Order(id, key=f"k{id % keys}"))
        layer.apply(world.db, Order(10_000))
        async with world.worker(layer, handlers, concurrency=64) as worker:
            assert await world.until(lambda: done == [10_000], 60.0, step=1.0) < 30.0
            is_down = False
            await world.until(lambda: len(done) == 2 * keys + 1, 300.0, step=5.0)
            assert worker.counts["actions.started"] < 5 * keys
        order = {id: place for place, id in enumerate(done)}
        assert all(order[id] < order[id + keys] for id in range(keys))

    test()


@in_virtual_time
async def test_one_that_waits_for_its_next_attempt_and_is_cancelled_holds_up_nobody(world: World) -> None:
    layer, handlers, done = world.layer(Jobs(), lanes=1), Handlers(), []

    @handlers.on(Job, retry=Retry(first_delay=3600, max_delay=3600))
    async def job(action: Job, attempt: Attempt) -> Done:
        if action.id == 0:
            raise OSError("come again in an hour")
        done.append(action.id)
        return Done()

    await order(world, layer, 2, keys=1)
    async with world.worker(layer, handlers) as worker:
        await world.until(lambda: worker.counts.get("actions.retried", 0) == 1, 10.0)
        await aio.run(layer.apply, world.db, Cancel(0))
        await world.until(lambda: done == [1], 120.0, step=1.0)


@in_virtual_time
async def test_across_takeovers(world: World) -> None:
    layer, log = world.layer(Jobs(), lanes=4), Log(world, keys=6, failing=0.1)
    await order(world, layer, 240, keys=6)
    chance = random.Random(5)

    def begin(number: int) -> tuple[Worker, asyncio.Task[None]]:
        worker = world.worker(layer, log.handlers, f"w{number}", lease_seconds=1.0)
        return worker, world.loop.create_task(worker.run())

    alive = [begin(number) for number in range(3)]
    number = 3
    while list(layer.pending(world.db)):
        await asyncio.sleep(2.0)
        victim = alive.pop(chance.randrange(len(alive)))
        if chance.random() < 0.5:
            await killed(victim[1])
        else:
            victim[0].stop()
            await victim[1]
        alive.append(begin(number))
        number += 1
        assert number < 200
    for worker, task in alive:
        worker.stop()
        await task
    log.check(240)


@in_virtual_time
async def test_while_the_layer_is_resized_under_load(world: World) -> None:
    layer, log = world.layer(Jobs(), lanes=4), Log(world, keys=6)
    workers = [world.worker(layer, log.handlers, f"w{number}", lease_seconds=2.0) for number in range(2)]
    tasks = [world.loop.create_task(worker.run()) for worker in workers]
    await order(world, layer, 120, keys=6)
    for lanes in (7, 1, 3):
        await asyncio.sleep(3.0)
        await aio.run(layer.resize, world.db, lanes)
        await world.until(lambda lanes=lanes: sum(len(worker.lanes) for worker in workers) == lanes, 30.0)  # type: ignore[misc]
    await world.until(lambda: not list(layer.pending(world.db)), 100.0, step=1.0)
    for worker, task in zip(workers, tasks, strict=True):
        worker.stop()
        await task
    log.check(120)
    assert {len(texts) for _, texts in layer.view(world.db).results.items()} == {1}
