from __future__ import annotations

import asyncio
from typing import Any

from phasm_fdb import aio
from phasm_fdb.runtime import Attempt, Handlers
from tests.runtime.machines import Append, Done, Job, Jobs, Order, Tell
from tests.runtime.virtual import World, in_virtual_time


@in_virtual_time
async def test_untracked_actions_go_to_their_handlers_after_the_commit(world: World) -> None:
    layer, handlers, told = world.layer(Jobs()), Handlers(), []

    @handlers.on(Tell)
    async def tell(action: Tell, attempt: Attempt) -> None:
        told.append((action.word, attempt.number, attempt.id, "k" in layer.view(world.db).words))

    @handlers.on(Job)
    async def job(action: Job, attempt: Attempt) -> Done:
        return Done()

    async with world.worker(layer, handlers):
        await layer.call(world.db, Append("k", "hello", tell=True))
        await aio.run(layer.apply, world.db, Order(5))
        await world.until(lambda: len(told) == 2)
    assert set(told) == {("hello", 1, None, True), ("finished 5", 1, None, True)}


@in_virtual_time
async def test_the_queue_is_bounded_never_blocks_and_counts_what_it_drops(world: World) -> None:
    layer, handlers, told = world.layer(Jobs()), Handlers(), []
    gate = asyncio.Event()

    @handlers.on(Tell)
    async def tell(action: Tell, attempt: Attempt) -> None:
        await gate.wait()
        told.append(action.word)

    async with world.worker(layer, handlers, concurrency=4, untracked_room=10) as worker:
        for number in range(100):
            layer.submit(world.db, Append("k", str(number), tell=True), ordering_key="k")
        await world.until(lambda: worker.counts.get("transitions") == 100)
        gate.set()
        await world.until(lambda: worker.counts.get("untracked.run", 0) == len(told) >= 10)
    assert worker.counts["untracked.dropped"] == 100 - len(told)


@in_virtual_time
async def test_one_that_fails_or_has_no_handler_is_nobodys_problem(world: World) -> None:
    layer, handlers = world.layer(Jobs()), Handlers()

    @handlers.on(Tell)
    def tell(action: Any, attempt: Attempt) -> None:
        raise OSError("nobody listens")

    async with world.worker(layer, handlers) as worker:
        for number in range(3):
            await layer.call(world.db, Append("k", str(number), tell=True))
        await world.until(lambda: worker.counts.get("untracked.failed") == 3)
    cancelling = Handlers()

    @cancelling.on(Tell)
    async def cancel(action: Any, attempt: Attempt) -> None:
        raise asyncio.CancelledError

    async with world.worker(layer, cancelling, concurrency=4) as worker:
        for number in range(20):
            layer.submit(world.db, Append("c", str(number), tell=True))
        await world.until(lambda: worker.counts.get("untracked.failed") == 20)
    async with world.worker(layer, Handlers()):
        assert (await layer.call(world.db, Append("k", "x", tell=True))).reply == 4
