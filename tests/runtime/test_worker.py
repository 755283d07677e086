"""A worker's life: starting, draining, being cancelled, and getting everything done whatever the database does."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from typing import Any

import pytest

from phasm_fdb import KeyspaceError, Layer, StateMachine, aio
from phasm_fdb.runtime import Attempt, Handlers, Limit, Retry, Worker
from tests.runtime.faulty import FaultyDatabase
from tests.runtime.machines import Append, Cancel, CheckJob, Done, Job, Jobs, JobsState, Order, Remind, SlowJob
from tests.runtime.virtual import EPOCH, InlineExecutor, World, in_virtual_time, killed


@in_virtual_time
async def test_pending_actions_are_run_and_their_results_fed_back(world: World) -> None:
    layer, handlers = world.layer(Jobs()), Handlers()

    @handlers.on(Job)
    async def job(action: Job, attempt: Attempt) -> Done:
        return Done(f"job {action.id}")

    layer.apply(world.db, Order(1))
    async with world.worker(layer, handlers):
        await aio.run(layer.apply, world.db, Order(2))
        await world.until(lambda: not list(layer.pending(world.db)))
    results = dict(layer.view(world.db).results.items())
    assert results == {1: ["Done(text='job 1')"], 2: ["Done(text='job 2')"]}


@in_virtual_time
async def test_plain_handlers_run_in_the_executor(world: World) -> None:
    layer, handlers, executor = world.layer(Jobs()), Handlers(), InlineExecutor()

    @handlers.on(Job)
    def job(action: Job, attempt: Attempt) -> Done:
        attempt.heartbeat()
        return Done()

    async with world.worker(layer, handlers, executor=executor):
        for id in range(5):
            await aio.run(layer.apply, world.db, Order(id))
        await world.until(lambda: not list(layer.pending(world.db)))
    assert executor.calls == 5


@in_virtual_time
async def test_no_more_handlers_run_at_once_than_allowed(world: World) -> None:
    layer, handlers = world.layer(Jobs()), Handlers()
    now = most = 0

    @handlers.on(Job)
    async def job(action: Job, attempt: Attempt) -> Done:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(1.0)
        now -= 1
        return Done()

    for id in range(50):
        layer.apply(world.db, Order(id))
    async with world.worker(layer, handlers, concurrency=7):
        assert await world.until(lambda: not list(layer.pending(world.db))) < 9.0
    assert most == 7


@in_virtual_time
async def test_stopping_drains(world: World) -> None:
    layer, handlers, calls = world.layer(Jobs()), Handlers(), []

    @handlers.on(Job)
    async def job(action: Job, attempt: Attempt) -> Done:
        calls.append(action.id)
        await asyncio.sleep(30.0)
        return Done()

    worker = world.worker(layer, handlers, concurrency=2)
    task = world.loop.create_task(worker.run())
    for id in range(5):
        await aio.run(layer.apply, world.db, Order(id))
    await world.until(lambda: len(calls) == 2)
    worker.stop()
    await task
    assert len(calls) == 2, "nothing more was started"
    assert len(list(layer.pending(world.db))) == 3, "and what ran was brought to its end"
    assert worker.lanes == ()


@in_virtual_time
async def test_a_worker_that_keeps_working_while_it_drains_keeps_its_lease(world: World) -> None:
    layer, handlers = world.layer(Jobs()), Handlers()

    @handlers.on(Job)
    async def job(action: Job, attempt: Attempt) -> Done:
        await asyncio.sleep(60.0)
        return Done()

    first = world.worker(layer, handlers, "first", lease_seconds=2.0)
    task = world.loop.create_task(first.run())
    await aio.run(layer.apply, world.db, Order(1))
    await world.until(lambda: first.counts.get("actions.started") == 1)
    async with world.worker(layer, handlers, "second", lease_seconds=2.0) as second:
        await asyncio.sleep(5.0)
        first.stop()
        await task
        await world.until(lambda: len(second.lanes) == 8)
        assert second.counts.get("leases.takeovers", 0) == 0, "who leaves in order is not taken for dead"
        assert second.counts.get("actions.started", 0) == 0
    assert first.counts["actions.completed"] == 1


@in_virtual_time
async def test_cancelling_a_pending_action_drops_its_result(world: World) -> None:
    layer, handlers, calls = world.layer(Jobs()), Handlers(), []

    @handlers.on(Job)
    async def job(action: Job, attempt: Attempt) -> Done:
        calls.append(attempt.idempotency_key)
        await asyncio.sleep(5.0)
        return Done(f"call {len(calls)}")

    async with world.worker(layer, handlers) as worker:
        await aio.run(layer.apply, world.db, Order(1))
        await world.until(lambda: len(calls) == 1)
        await aio.run(layer.apply, world.db, Cancel(1))
        await aio.run(layer.apply, world.db, Order(1))
        await world.until(lambda: not list(layer.pending(world.db)))
        assert worker.counts["actions.stale"] == 1, "a result of the first is none of the second with the same id"
    assert layer.view(world.db).results[1] == ["Done(text='call 2')"]
    assert len(set(calls)) == 2


@in_virtual_time
async def test_results_are_stamped_with_the_workers_clock(world: World) -> None:
    seen = []

    class Watching(Jobs):
        def stf(self, state: Any, input: Any, actions: Any) -> Any:
            seen.append(input.at)
            return super().stf(state, input, actions)

    layer, handlers = world.layer(Watching()), Handlers()
    handlers.on(Job)(lambda action, attempt: Done())
    layer.apply(world.db, Order(1))
    async with world.worker(layer, handlers, clock=lambda: EPOCH + 5_000.0):
        await world.until(lambda: not list(layer.pending(world.db)))
    assert seen[-1] == int((EPOCH + 5_000.0) * 1000)


class Other(StateMachine):
    State = JobsState
    Input = Order
    TrackedAction = Job
    TrackedResult = Done

    def stf(self, state: Any, input: Any, actions: Any) -> Any:
        return None


@in_virtual_time
async def test_a_keyspace_of_another_machine_is_refused(world: World) -> None:
    world.layer(Jobs()).apply(world.db, Order(1))
    with pytest.raises(KeyspaceError, match="belongs to the machine Jobs"):
        await world.worker(world.layer(Other()), Handlers()).run()


@pytest.mark.parametrize("seed", range(12))
def test_everything_gets_done_exactly_once_whatever_the_database_and_the_workers_do(seed: int) -> None:
    """Commits conflict or get lost, workers die and come back; at the end each result was applied once."""

    @in_virtual_time
    async def test(world: World) -> None:
        chance = random.Random(seed)
        layer: Layer = world.layer(Jobs(), lanes=chance.randrange(1, 6), cache=chance.choice([0, 100]))
        db = FaultyDatabase(world.db, chance)
        handlers, calls = Handlers(), []
        retry = Retry(first_delay=0.1, max_delay=2.0)

        @handlers.on(Job, CheckJob, retry=retry)
        async def job(action: Any, attempt: Attempt) -> Done:
            calls.append((action.id, attempt.idempotency_key))
            await asyncio.sleep(chance.random())
            if chance.random() < 0.2:
                raise OSError
            return Done()

        handlers.on(SlowJob, retry=retry, limit=Limit(concurrency=2, per_second=50.0))(job)
        workers: dict[Worker, asyncio.Task[None]] = {}

        def begin() -> None:
            skew = chance.uniform(-10, 10)
            worker = Worker(
                db,
                layer,
                handlers,
                lease_seconds=1.0,
                clock=lambda: world.clock() + skew,
                chance=random.Random(chance.random()),
                concurrency=8,
            )
            workers[worker] = world.loop.create_task(worker.run())

        for _ in range(3):
            begin()
        await asyncio.sleep(1.0)
        db.rate = 0.2
        for id in range(100):
            if chance.random() < 0.02 and workers:
                await killed(workers.pop(chance.choice(list(workers))))
                begin()
            key = f"k{id % 3}" if id % 4 == 0 else None
            after = chance.random() * 5 if id % 5 == 0 else None
            await aio.run(layer.apply, db, Order(id, key=key, after=after, slow=id % 6 == 0), request_id=id)
            await aio.run(layer.submit, db, Append(str(id % 9), str(id)), request_id=("s", id), ordering_key=id % 9)
            await aio.run(layer.apply, db, Remind(1_000 + id, after=chance.random() * 9), request_id=("t", id))
            await asyncio.sleep(chance.random() * 0.2)
        await aio.run(layer.resize, db, chance.randrange(1, 6))
        db.rate = 0.0
        await world.until(lambda: not list(layer.pending(world.db)), 200.0, step=0.5)
        await asyncio.sleep(15.0)
        for worker, task in workers.items():
            worker.stop()
            await task
        state = layer.view(world.db)
        assert Counter(len(texts) for _, texts in state.results.items()) == {1: 100}
        assert Counter(count for _, count in state.reminded.items()) == {1: 100}
        assert {key: list(words) for key, words in state.words.items()} == {
            str(key): [str(id) for id in range(100) if id % 9 == key] for key in range(9)
        }
        assert layer.dead_letters(world.db) == []
        assert len(set(calls)) == 100, "each action has one idempotency key, over all its attempts"
        assert db.faults > 20

    test()
