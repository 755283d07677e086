"""What a lost worker may have started is in doubt, and `restore` says how to go on."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from phasm_fdb import Actions, RestoreError, Tracked, aio
from phasm_fdb.runtime import Attempt, Handlers, Retry
from tests.runtime.machines import CheckJob, Done, Job, Jobs, Order
from tests.runtime.virtual import World, in_virtual_time, killed


def recording(seconds: float = 0.1, **options: Any) -> tuple[Handlers, list[Any]]:
    handlers, calls = Handlers(), []

    @handlers.on(Job, CheckJob, **options)
    async def job(action: Any, attempt: Attempt) -> Done:
        calls.append((action, attempt.number, attempt.idempotency_key))
        await asyncio.sleep(seconds)
        return Done(type(action).__name__)

    return handlers, calls


async def crash_in_the_middle(world: World, layer: Any, **options: Any) -> list[Any]:
    """Start jobs 1 and 2, lose their worker while they run, and order 3 and 4."""
    handlers, calls = recording(seconds=1_000, **options)
    task = world.loop.create_task(world.worker(layer, handlers, "lost", lease_seconds=2.0, concurrency=2).run())
    await aio.run(layer.apply, world.db, Order(1))
    await aio.run(layer.apply, world.db, Order(2))
    await world.until(lambda: len(calls) == 2)
    await aio.run(layer.apply, world.db, Order(3))
    await aio.run(layer.apply, world.db, Order(4))
    await asyncio.sleep(1.0)
    await killed(task)
    return calls


@in_virtual_time
async def test_in_doubt_runs_as_restore_decides_and_the_rest_as_emitted(world: World) -> None:
    layer = world.layer(Jobs())
    before = await crash_in_the_middle(world, layer)
    handlers, calls = recording()
    async with world.worker(layer, handlers, lease_seconds=2.0):
        await world.until(lambda: not list(layer.pending(world.db)))
    ran = {action.id: (action, number) for action, number, _ in calls}
    assert ran == {
        1: (Job(1), 2),  # in doubt; `restore` leaves odd ids out: as it was, and its attempts go on
        2: (CheckJob(2), 1),  # in doubt; `restore` puts this in its place
        3: (Job(3), 1),  # never started
        4: (Job(4), 1),  # never started, although `restore` would check it
    }
    keys = {action.id: key for action, _, key in before}
    assert all(keys[action.id] == key for action, _, key in calls if action.id in keys)


@in_virtual_time
async def test_what_restore_put_in_place_is_retried_and_survives_another_crash(world: World) -> None:
    layer = world.layer(Jobs())
    await crash_in_the_middle(world, layer)
    handlers, calls = Handlers(), []

    @handlers.on(Job, CheckJob, retry=Retry(first_delay=5.0, max_delay=5.0))
    async def fails(action: Any, attempt: Attempt) -> Done:
        calls.append((action, attempt.number))
        raise OSError

    second = world.loop.create_task(world.worker(layer, handlers, "second", lease_seconds=2.0).run())
    await world.until(lambda: (CheckJob(2), 2) in calls)
    await killed(second)
    handlers, calls = recording()
    async with world.worker(layer, handlers, lease_seconds=2.0):
        await world.until(lambda: not list(layer.pending(world.db)))
    assert [action for action, *_ in calls if action.id == 2] == [CheckJob(2)]


class Forgetful(Jobs):
    """Names a job that nobody ordered: only its state knows it, as far as the layer can tell."""

    name = "Jobs"

    def restore(self, state: Any, actions: Actions) -> None:
        actions.add(Tracked(99, Job(99)))


@in_virtual_time
async def test_an_id_that_only_restore_knows_becomes_pending(world: World) -> None:
    layer = world.layer(Forgetful())
    await crash_in_the_middle(world, layer)
    handlers, calls = recording()
    async with world.worker(layer, handlers, lease_seconds=2.0):
        await world.until(lambda: 99 in {action.id for action, *_ in calls})


class Stuck(Jobs):
    name = "Jobs"

    def restore(self, state: Any, actions: Actions) -> None:
        raise RestoreError("the ledger and the bank disagree")


@in_virtual_time
async def test_a_machine_that_cannot_resume_stops_the_worker(world: World) -> None:
    layer = world.layer(Stuck())
    await crash_in_the_middle(world, layer)
    handlers, calls = recording()
    with pytest.raises(RestoreError, match="the ledger and the bank disagree"):
        await world.worker(layer, handlers, lease_seconds=2.0).run()
    assert calls == [] or {action.id for action, *_ in calls}.isdisjoint({1, 2}), "what is in doubt is not run"


@in_virtual_time
async def test_an_action_whose_last_attempt_was_lost_with_its_worker_is_given_up(world: World) -> None:
    """So an action that kills its worker each time does not do so for ever."""
    layer = world.layer(Jobs())
    await crash_in_the_middle(world, layer, retry=Retry(max_attempts=1))
    handlers, calls = recording(retry=Retry(max_attempts=1))
    async with world.worker(layer, handlers, lease_seconds=2.0):
        await world.until(lambda: not list(layer.pending(world.db)))
    (letter,) = layer.dead_letters(world.db)
    assert (letter.id, letter.attempts) == (1, 1)
    assert letter.cause == "WorkerLost: the worker was lost during the last attempt"
    assert (CheckJob(2), 1) in [(action, number) for action, number, _ in calls]


@in_virtual_time
async def test_lanes_given_back_in_order_leave_nothing_in_doubt(world: World) -> None:
    layer, (handlers, calls) = world.layer(Jobs()), recording(seconds=5.0)
    async with world.worker(layer, handlers, concurrency=1):
        for id in (2, 4, 6):
            await aio.run(layer.apply, world.db, Order(id))
        await world.until(lambda: len(calls) == 1)
    async with world.worker(layer, handlers):
        assert await world.until(lambda: not list(layer.pending(world.db))) < 12.0
    assert sorted(action.id for action, *_ in calls) == [2, 4, 6]
    assert all(isinstance(action, Job) for action, *_ in calls)
