"""Two versions of the code at once, and moving the state to a newer schema."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest

from phasm_fdb import Actions, Counter, KeyspaceError, MachineDefinitionError, Map, Normal, State, StateMachine, aio
from phasm_fdb.runtime import Attempt, Handlers
from tests.runtime.machines import Append, CheckJob, Done, Job, Jobs, Order, SlowJob
from tests.runtime.virtual import World, in_virtual_time


class Older(Jobs):
    """Jobs before there were slow ones, and before words could be appended."""

    name = "Jobs"
    Input = Order
    TrackedAction = Job


def handling(*types: type) -> tuple[Handlers, list[int]]:
    handlers, calls = Handlers(), []

    @handlers.on(*types)
    async def job(action: Any, attempt: Attempt) -> Done:
        calls.append(action.id)
        await asyncio.sleep(0.01)
        return Done()

    return handlers, calls


@in_virtual_time
async def test_unknown_action_types_are_left_for_a_worker_that_knows_them(world: World) -> None:
    newer, older = world.layer(Jobs()), world.layer(Older())
    (old_handlers, old_calls), (new_handlers, new_calls) = handling(Job), handling(Job, SlowJob, CheckJob)
    async with world.worker(older, old_handlers, "old", lease_seconds=1.0) as old:
        await world.until(lambda: len(old.lanes) == 8)
        for id in range(40):
            await aio.run(newer.apply, world.db, Order(id, slow=id % 2 == 0, key=f"k{id % 5}" if id < 20 else None))
        await asyncio.sleep(10.0)
        assert set(old_calls) >= {id for id in range(20, 40) if id % 2}, "what it knows it runs"
        async with world.worker(newer, new_handlers, "new", lease_seconds=1.0) as new:
            await world.until(lambda: not list(newer.pending(world.db)), 60.0)
            assert {id for id in new_calls if id % 2 == 0} == set(range(0, 40, 2))
            await world.until(lambda: len(old.lanes) == len(new.lanes) == 4, 60.0)
    assert sorted([*old_calls, *new_calls]) == list(range(40))


@in_virtual_time
async def test_unknown_input_types_too(world: World) -> None:
    newer, older = world.layer(Jobs()), world.layer(Older())
    handlers, _ = handling(Job)
    async with world.worker(older, handlers, "old", lease_seconds=1.0):
        ids = [newer.submit(world.db, Append(str(n % 3), str(n)), ordering_key=n % 3) for n in range(30)]
        plain = newer.submit(world.db, Order(1), ordering_key=99)
        await newer.outcome(world.db, plain)
        await asyncio.sleep(5.0)
        async with world.worker(newer, handlers, "new", lease_seconds=1.0):
            await asyncio.wait_for(asyncio.gather(*(newer.outcome(world.db, id) for id in ids)), 60.0)
    words = {key: list(all_) for key, all_ in newer.view(world.db).words.items()}
    assert words == {str(key): [str(n) for n in range(30) if n % 3 == key] for key in range(3)}


@in_virtual_time
async def test_an_unknown_type_is_said_once(world: World) -> None:
    import logging

    newer, older = world.layer(Jobs()), world.layer(Older())
    messages: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            messages.append(record.getMessage())

    keep = Keep()
    logging.getLogger("phasm_fdb.worker").addHandler(keep)
    try:
        async with world.worker(older, handling(Job)[0]):
            for id in range(10):
                await aio.run(newer.apply, world.db, Order(id, slow=True))
            await asyncio.sleep(60.0)
    finally:
        logging.getLogger("phasm_fdb.worker").removeHandler(keep)
    assert [message for message in messages if "SlowJob" in message] == [
        "this worker has no code for SlowJob, and leaves it to others; said once"
    ]


# --------------------------------------------------------------------------------------------- migration


@dataclass(frozen=True)
class Put:
    key: int
    text: str


class ShelfState(State):
    texts = Map(int, str)
    lengths = Map(int, int)
    batches = Counter()


class Shelf(StateMachine):
    State = ShelfState
    Input = Put

    def stf(self, state: Any, input: Any, actions: Actions) -> Any:
        assert isinstance(input, Normal)
        state.texts[input.payload.key] = input.payload.text


class Shelf2(Shelf):
    """Keeps lengths instead of texts."""

    name = "Shelf"
    schema_version = 2
    batch: ClassVar[int] = 10

    def stf(self, state: Any, input: Any, actions: Actions) -> Any:
        state.lengths[input.payload.key] = len(input.payload.text)

    def migrate(self, state: Any, from_version: int) -> bool:
        assert from_version == 1
        state.batches.take()
        moved = list(state.texts.items(limit=self.batch))
        for key, text in moved:
            state.lengths[key] = len(text)
            del state.texts[key]
        return len(moved) == self.batch


class Shelf3(Shelf2):
    name = "Shelf"
    schema_version = 3

    def migrate(self, state: Any, from_version: int) -> bool:
        if from_version == 1:
            return super().migrate(state, 1)
        for key, length in state.lengths.items():
            state.lengths[key] = length * 10
        return False


def filled(world: World, count: int = 95) -> Any:
    layer = world.layer(Shelf())
    for key in range(count):
        layer.apply(world.db, Put(key, "x" * key))
    return layer


@in_virtual_time
async def test_a_worker_migrates_the_state_before_it_works(world: World) -> None:
    old = filled(world)
    new = world.layer(Shelf2())
    with pytest.raises(KeyspaceError, match=r"has schema version 1, and this Shelf has 2: migrate the state first"):
        new.apply(world.db, Put(1, "x"))
    async with world.worker(new, Handlers()):
        await world.until(lambda: _lengths(world, new) == {key: key for key in range(95)})
    assert new.view(world.db).batches.get() == 10
    with pytest.raises(KeyspaceError, match="has schema version 2, and this Shelf has 1: upgrade this process"):
        old.apply(world.db, Put(1, "x"))


@in_virtual_time
async def test_a_migration_that_is_interrupted_goes_on_where_it_was(world: World) -> None:
    filled(world)
    new = world.layer(Shelf2())

    class Tired(Shelf2):
        name = "Shelf"

        def migrate(self, state: Any, from_version: int) -> bool:
            if state.batches.get() == 4:
                raise RuntimeError("power cut")
            return super().migrate(state, from_version)

    with pytest.raises(RuntimeError, match="power cut"):
        world.layer(Tired()).migrate(world.db)
    with pytest.raises(KeyspaceError, match="is being migrated from schema version 1 to 2"):
        new.apply(world.db, Put(1, "x"))
    assert new.migrate(world.db) == 6
    assert new.migrate(world.db) == 0
    assert _lengths(world, new) == {key: key for key in range(95)}


@in_virtual_time
async def test_several_versions_are_migrated_one_after_another(world: World) -> None:
    filled(world, 25)
    newest = world.layer(Shelf3())
    assert newest.migrate(world.db) == 4
    assert _lengths(world, newest) == {key: key * 10 for key in range(25)}


@in_virtual_time
async def test_a_worker_older_than_the_stored_schema_stops_with_a_clear_message(world: World) -> None:
    old = filled(world)
    worker = world.worker(old, Handlers(), lease_seconds=2.0)
    task = world.loop.create_task(worker.run())
    await asyncio.sleep(5.0)
    world.layer(Shelf2()).migrate(world.db)
    with pytest.raises(KeyspaceError, match="has schema version 2, and this Shelf has 1: upgrade this process"):
        await asyncio.wait_for(task, 5.0)
    with pytest.raises(KeyspaceError, match="upgrade this process"):
        await world.worker(old, Handlers()).run()


@in_virtual_time
async def test_a_newer_schema_without_migrate_says_what_is_missing(world: World) -> None:
    class Bare(Shelf):
        name = "Shelf"
        schema_version = 2

    filled(world, 1)
    with pytest.raises(MachineDefinitionError, match="Bare has schema_version 2 and no `migrate`"):
        world.layer(Bare()).migrate(world.db)


def _lengths(world: World, layer: Any) -> dict[int, int]:
    try:
        return dict(layer.view(world.db).lengths.items())
    except KeyspaceError:
        return {}
