from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from phasm_fdb import aio
from phasm_fdb.runtime import Attempt, Handlers, Retry
from tests.runtime.failing_database import FailingDatabase
from tests.runtime.machines import Done, Failed, Job, Jobs, Order
from tests.runtime.virtual import World, in_virtual_time, killed


def test_delays_are_full_jitter_under_a_growing_bound() -> None:
    retry, chance = Retry(first_delay=1.0, factor=2.0, max_delay=10.0), random.Random(1)
    for number, bound in ((1, 1.0), (2, 2.0), (3, 4.0), (5, 10.0), (5_000, 10.0)):
        delays = [retry.delay(number, chance) for _ in range(1_000)]
        assert 0 <= min(delays) < 0.05 * bound
        assert 0.95 * bound < max(delays) <= bound
        assert sum(delays) / 1_000 == pytest.approx(bound / 2, rel=0.1)


@pytest.mark.parametrize(
    "wrong",
    [{"first_delay": -1.0}, {"max_delay": 0.01}, {"factor": 0.5}, {"max_attempts": 0}, {"timeout": 0}, {"total": -1.0}],
)
def test_a_policy_that_makes_no_sense_is_refused(wrong: Any) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong)).split("_")[-1]):
        Retry(**wrong)


def test_when_it_is_spent() -> None:
    retry = Retry(max_attempts=3, total=60.0, final=(KeyError,))
    assert not retry.is_spent(2, OSError(), 59.0)
    assert retry.is_spent(3, OSError(), 0.0)
    assert retry.is_spent(1, OSError(), 60.0)
    assert retry.is_spent(1, KeyError(), 0.0)


async def _fails(world: World, retry: Retry, error: BaseException, **order: Any) -> tuple[Any, list[float], Any]:
    """Run an action that always fails until the policy is spent: the layer, when it was called, and the counts."""
    layer, handlers, calls = world.layer(Jobs()), Handlers(), []

    @handlers.on(Job, retry=retry)
    async def job(action: Job, attempt: Attempt) -> Done:
        calls.append(world.loop.time())
        raise error

    async with world.worker(layer, handlers) as worker:
        await aio.run(layer.apply, world.db, Order(1, **order))
        await world.until(lambda: not list(layer.pending(world.db)), 10_000, step=1.0)
    return layer, calls, worker.counts


@in_virtual_time
async def test_a_spent_action_goes_to_the_dead_letters_with_its_cause(world: World) -> None:
    layer, calls, counts = await _fails(world, Retry(max_attempts=3), OSError("no route"))
    (letter,) = layer.dead_letters(world.db)
    assert (letter.kind, letter.id, letter.payload, letter.attempts) == ("action", 1, Job(1), 3)
    assert letter.cause == "OSError: no route"
    assert len(calls) == 3
    assert counts["dead_letters"] == 1


@in_virtual_time
async def test_a_spent_action_with_an_ordering_key_too(world: World) -> None:
    layer, calls, _ = await _fails(world, Retry(max_attempts=3), OSError("no route"), key="k")
    (letter,) = layer.dead_letters(world.db)
    assert (letter.ordering_key, letter.attempts, len(calls)) == ("k", 3, 3)


@in_virtual_time
async def test_a_final_exception_ends_it_at_once(world: World) -> None:
    layer, calls, _ = await _fails(world, Retry(final=(PermissionError,)), PermissionError("never"))
    assert len(calls) == 1
    assert layer.dead_letters(world.db)[0].cause == "PermissionError: never"


@in_virtual_time
async def test_a_spent_policy_can_feed_a_declared_result_instead(world: World) -> None:
    retry = Retry(max_attempts=2, on_exhausted=lambda action, error: Failed(f"{action.id}: {error}"))
    layer, _, counts = await _fails(world, retry, OSError("no route"))
    assert layer.view(world.db).results[1] == ["Failed(why='1: no route')"]
    assert layer.dead_letters(world.db) == []
    assert counts["actions.completed"] == 1


@in_virtual_time
async def test_a_result_on_exhaustion_that_is_refused_ends_as_a_dead_letter_with_both_causes(world: World) -> None:
    retry = Retry(max_attempts=1, on_exhausted=lambda action, error: Done("refuse me"))
    layer, _, _ = await _fails(world, retry, OSError("no route"))
    assert layer.dead_letters(world.db)[0].cause == "OSError: no route; then Refused: not that"


@in_virtual_time
async def test_the_total_deadline_bounds_all_attempts(world: World) -> None:
    retry = Retry(first_delay=5.0, max_delay=5.0, factor=1.0, total=60.0)
    _, calls, _ = await _fails(world, retry, OSError())
    assert 60.0 <= calls[-1] - calls[0] < 70.0


@in_virtual_time
async def test_an_attempt_that_takes_too_long_is_cancelled_and_counts_as_failed(world: World) -> None:
    layer, handlers, ends = world.layer(Jobs()), Handlers(), []

    @handlers.on(Job, retry=Retry(timeout=30.0, max_attempts=2))
    async def job(action: Job, attempt: Attempt) -> Done:
        try:
            await asyncio.sleep(1_000)
        finally:
            ends.append(world.loop.time())
        return Done()

    async with world.worker(layer, handlers):
        await aio.run(layer.apply, world.db, Order(1))
        await world.until(lambda: bool(layer.dead_letters(world.db)))
    assert ends[0] == pytest.approx(30.0, abs=0.1)
    assert layer.dead_letters(world.db)[0].cause == "TimeoutError"


@in_virtual_time
async def test_a_result_of_the_wrong_type_and_one_that_the_machine_refuses_count_as_failures(world: World) -> None:
    layer, handlers = world.layer(Jobs()), Handlers()

    @handlers.on(Job, retry=Retry(max_attempts=2))
    async def job(action: Job, attempt: Attempt) -> Any:
        return "not declared" if action.id == 1 else Done("refuse me")

    async with world.worker(layer, handlers):
        await aio.run(layer.apply, world.db, Order(1))
        await aio.run(layer.apply, world.db, Order(3))
        await world.until(lambda: len(layer.dead_letters(world.db)) == 2)
    causes = {letter.id: letter.cause for letter in layer.dead_letters(world.db)}
    assert "'not declared' is not one of Done, Failed" in causes[1]
    assert causes[3] == "Refused: not that"


@in_virtual_time
async def test_a_result_that_leads_to_more_than_a_transaction_holds_is_kept_and_given_up_and_blocks_no_other(
    world: World,
) -> None:
    layer, handlers, calls = world.layer(Jobs()), Handlers(), []

    @handlers.on(Job, retry=Retry(max_attempts=2, on_exhausted=lambda action, error: Failed("never asked")))
    async def job(action: Job, attempt: Attempt) -> Done:
        calls.append(action.id)
        return Done("fill" if action.id == 1 else "small")

    for id in range(5):
        layer.apply(world.db, Order(id))
    async with world.worker(layer, handlers):
        await world.until(lambda: not list(layer.pending(world.db)))
    (letter,) = layer.dead_letters(world.db)
    assert (letter.id, letter.attempts, letter.result) == (1, 1, Done("fill"))
    assert sorted(calls) == [0, 1, 2, 3, 4], "the call is made once"
    assert "ResultTooLarge" in letter.cause
    assert sorted(id for id, _ in layer.view(world.db).results.items()) == [0, 2, 3, 4]


@pytest.mark.parametrize("number", range(1, 16))
def test_a_conflict_where_the_last_attempt_is_started_does_not_take_it_away(number: int) -> None:
    @in_virtual_time
    async def test(world: World) -> None:
        layer, handlers, calls = world.layer(Jobs()), Handlers(), []

        @handlers.on(Job, retry=Retry(max_attempts=1))
        async def job(action: Job, attempt: Attempt) -> Done:
            calls.append(attempt.number)
            return Done()

        db = FailingDatabase(world.db, code=1020)
        db.fails_commit = number
        worker = world.worker(layer, handlers)
        worker._transact.db = db
        layer.apply(world.db, Order(1))
        async with worker:
            await world.until(lambda: not list(layer.pending(world.db)))
        assert calls == [1]
        assert layer.dead_letters(world.db) == []

    test()


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise KeyError("no text")


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (OSError("\ud800 is no character"), r"OSError: \ud800 is no character"),
        (Unspeakable(), "Unspeakable: its text cannot be had: KeyError"),
    ],
)
def test_an_error_with_a_text_that_cannot_be_stored(error: Exception, cause: str) -> None:
    @in_virtual_time
    async def test(world: World) -> None:
        layer, calls, _ = await _fails(world, Retry(first_delay=0.1, max_attempts=2), error)
        assert layer.dead_letters(world.db)[0].cause == cause
        assert len(calls) == 2

    test()


class Longest(random.Random):
    """Draws the longest delay every time."""

    def uniform(self, a: float, b: float) -> float:
        return b


@pytest.mark.parametrize("key", [None, "k"])
def test_attempts_and_the_next_time_survive_a_restart(key: str | None) -> None:
    @in_virtual_time
    async def test(world: World) -> None:
        layer, handlers, calls = world.layer(Jobs()), Handlers(), []

        @handlers.on(Job, retry=Retry(first_delay=100.0, max_delay=100.0, factor=1.0, max_attempts=3))
        async def job(action: Job, attempt: Attempt) -> Done:
            calls.append((attempt.number, attempt.idempotency_key, round(world.loop.time(), -1)))
            raise OSError

        first = world.loop.create_task(world.worker(layer, handlers, lease_seconds=2.0, chance=Longest(1)).run())
        await aio.run(layer.apply, world.db, Order(1, key=key))
        await world.until(lambda: len(calls) == 1)
        await asyncio.sleep(50.0)
        await killed(first)
        async with world.worker(layer, handlers, lease_seconds=2.0, chance=Longest(2)):
            await world.until(lambda: bool(layer.dead_letters(world.db)), 1_000, step=1.0)
        assert [(number, when) for number, _, when in calls] == [(1, 0.0), (2, 100.0), (3, 200.0)]
        assert len({key for _, key, _ in calls}) == 1

    test()


@in_virtual_time
async def test_a_failing_action_does_not_block_its_lane(world: World) -> None:
    layer, handlers, done = world.layer(Jobs(), lanes=1), Handlers(), []

    @handlers.on(Job, retry=Retry(first_delay=1.0, max_delay=60.0))
    async def job(action: Job, attempt: Attempt) -> Done:
        if action.id < 300:
            raise OSError("poison")
        done.append(action.id)
        return Done()

    async with world.worker(layer, handlers, concurrency=4):
        for id in range(310):
            await aio.run(layer.apply, world.db, Order(id, key=f"k{id}" if id % 2 else None))
        await world.until(lambda: len(done) == 10, 100.0)
