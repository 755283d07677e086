from __future__ import annotations

import asyncio
from typing import Any

from phasm_fdb import Untracked, aio
from phasm_fdb.database.transactional import run
from phasm_fdb.runtime import Attempt, Handlers
from tests.runtime.failing_database import FailingDatabase
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
async def test_apply_hands_them_to_its_caller_or_delivers_them_to_a_worker(world: World) -> None:
    layer, handlers, told = world.layer(Jobs()), Handlers(), []

    @handlers.on(Tell)
    async def tell(action: Tell, attempt: Attempt) -> None:
        told.append(action.word)

    first = layer.apply(world.db, Append("k", "mine", tell=True), request_id="a")
    assert first.untracked == (Untracked(Tell("mine")),)
    assert layer.apply(world.db, Append("k", "mine", tell=True), request_id="a").untracked == ()
    for _ in range(2):
        applied = layer.apply(world.db, Append("k", "yours", tell=True), request_id="b", deliver=True)
        assert (applied.reply, applied.untracked) == (2, ())

    def in_a_transaction(tr: Any) -> None:
        for word in ("one", "two"):
            assert layer.apply(tr, Append("k", word, tell=True), deliver=True).untracked == ()

    run(world.db, in_a_transaction)
    layer.apply(world.db, Order(1))
    layer.complete(world.db, 1, Done(), deliver=True)
    async with world.worker(layer, handlers):
        await world.until(lambda: len(told) == 4)
        await asyncio.sleep(10.0)
    assert sorted(told) == ["finished 1", "one", "two", "yours"]


@in_virtual_time
async def test_what_is_delivered_comes_once_whatever_the_database_answers(world: World) -> None:
    layer, handlers, told = world.layer(Jobs(), cache=10), Handlers(), []

    @handlers.on(Tell)
    async def tell(action: Tell, attempt: Attempt) -> None:
        told.append(action.word)

    for code, after in ((1021, True), (1021, False), (1020, False)):
        db = FailingDatabase(world.db, code)
        db.fails_commit, db.after = 1, after
        layer.apply(db, Append("k", f"{code} {after}", tell=True), deliver=True)
    async with world.worker(layer, handlers):
        await world.until(lambda: len(told) == 3)
        await asyncio.sleep(10.0)
    assert sorted(told) == ["1020 False", "1021 False", "1021 True"]


@in_virtual_time
async def test_what_is_delivered_is_dropped_without_a_handler_and_blocks_nothing(world: World) -> None:
    layer = world.layer(Jobs(), lanes=1)
    for number in range(50):
        layer.apply(world.db, Append("k", str(number), tell=True), deliver=True)
    async with world.worker(layer, Handlers()):
        assert (await layer.call(world.db, Append("k", "x"))).reply == 51
    assert list(world.db.create_transaction().get_range(*layer.keyspace.inbox(0))) == []


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
