from __future__ import annotations

from dataclasses import make_dataclass
from typing import Any

import pytest

from phasm_fdb import DuplicateAction, InputFailed, Normal, aio
from phasm_fdb.runtime import Attempt, Handlers, Retry
from tests.runtime.machines import Append, Break, Done, Job, Jobs, JobsState, Order
from tests.runtime.virtual import World, in_virtual_time


class Outside:
    """An outside world that can be down."""

    def __init__(self) -> None:
        self.is_up = False
        self.calls: list[tuple[int, int, str]] = []
        self.handlers = Handlers()

        @self.handlers.on(Job, retry=Retry(max_attempts=1))
        async def job(action: Job, attempt: Attempt) -> Done:
            self.calls.append((action.id, attempt.number, attempt.idempotency_key))
            if not self.is_up:
                raise OSError("down")
            return Done()


@in_virtual_time
async def test_an_action_that_is_put_back_runs_again_under_its_old_key(world: World) -> None:
    layer, outside = world.layer(Jobs()), Outside()
    async with world.worker(layer, outside.handlers):
        await aio.run(layer.apply, world.db, Order(1, key="k"))
        await world.until(lambda: len(layer.dead_letters(world.db)) == 1)
        outside.is_up = True
        (letter,) = layer.dead_letters(world.db)
        assert list(layer.pending(world.db)) == []
        assert layer.requeue(world.db, letter.stamp)
        assert not layer.requeue(world.db, letter.stamp), "once"
        await world.until(lambda: 1 in layer.view(world.db).results)
    assert layer.dead_letters(world.db) == []
    assert [(id, number) for id, number, _ in outside.calls] == [(1, 1), (1, 1)]
    assert len({key for *_, key in outside.calls}) == 1


@in_virtual_time
async def test_an_action_is_not_put_back_beside_another_with_its_id(world: World) -> None:
    layer, outside = world.layer(Jobs()), Outside()
    async with world.worker(layer, outside.handlers):
        await aio.run(layer.apply, world.db, Order(1))
        await world.until(lambda: len(layer.dead_letters(world.db)) == 1)
    layer.apply(world.db, Order(1))
    (letter,) = layer.dead_letters(world.db)
    with pytest.raises(DuplicateAction):
        layer.requeue(world.db, letter.stamp)
    assert layer.dead_letters(world.db) == [letter], "and stays where it is"


@in_virtual_time
async def test_one_can_be_thrown_away(world: World) -> None:
    layer, outside = world.layer(Jobs()), Outside()
    async with world.worker(layer, outside.handlers):
        await aio.run(layer.apply, world.db, Order(1))
        await world.until(lambda: len(layer.dead_letters(world.db)) == 1)
    (letter,) = layer.dead_letters(world.db)
    assert layer.discard(world.db, letter.stamp)
    assert not layer.discard(world.db, letter.stamp)
    assert layer.dead_letters(world.db) == []


class Mended(Jobs):
    """Jobs with the bug taken out."""

    name = "Jobs"

    def stf(self, state: Any, input: Any, actions: Any) -> Any:
        if isinstance(input, Normal) and input.payload == Break():
            return "mended"
        return super().stf(state, input, actions)


@in_virtual_time
async def test_an_input_that_is_put_back_gets_an_outcome_after_all(world: World) -> None:
    layer = world.layer(Jobs())
    async with world.worker(layer, Handlers()):
        with pytest.raises(InputFailed):
            await layer.call(world.db, Break(), request_id="r")
    layer = world.layer(Mended())
    (letter,) = layer.dead_letters(world.db)
    assert letter.at == world.now_ms()
    async with world.worker(layer, Handlers()):
        layer.requeue(world.db, letter.stamp)
        assert (await layer.outcome(world.db, "r")).reply == "mended"


@in_virtual_time
async def test_what_this_code_does_not_know_is_shown_undecoded(world: World) -> None:
    class Older(Jobs):
        name = "Jobs"
        State = JobsState
        Input = Append

    layer = world.layer(Jobs())
    async with world.worker(layer, Handlers()):
        with pytest.raises(InputFailed):
            await layer.call(world.db, Break(), request_id="r")
    (letter,) = world.layer(Older()).dead_letters(world.db)
    assert letter.payload == {"$": "Break"}


@in_virtual_time
async def test_an_action_that_does_not_decode_is_given_up_with_the_reason(world: World) -> None:
    layer = world.layer(Jobs())
    layer.apply(world.db, Order(1))
    other = make_dataclass("Job", [("id", int), ("place", str)], frozen=True)
    changed = type("Changed", (Jobs,), {"name": "Jobs", "TrackedAction": other})
    newer = world.layer(changed())
    handlers = Handlers()
    handlers.on(other)(lambda action, attempt: Done())
    async with world.worker(newer, handlers):
        await world.until(lambda: len(newer.dead_letters(world.db)) == 1)
    (letter,) = newer.dead_letters(world.db)
    assert "lacks its field 'place'" in letter.cause
