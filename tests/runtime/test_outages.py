"""No error of the database ends a worker: each commit and each read of a whole life fails, one after another."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from typing import Any

import pytest

from phasm_fdb import KeyspaceError, aio
from phasm_fdb.runtime import Attempt, Handlers, Limit, Retry, Worker, supervisor
from phasm_fdb.runtime import worker as worker_module
from tests.runtime.failing_database import FailingDatabase
from tests.runtime.machines import Append, Break, CheckJob, Done, Fill, Job, Jobs, Order, Remind, SlowJob
from tests.runtime.virtual import World, in_virtual_time, killed

CODES = [1007, 1009, 1020, 1021, 1025, 1031, 1037, 1039, 1510]


class Life:
    """Everything that workers do with the database, in one run.

    A worker begins, another joins, gets lanes from it, and is lost; the layer is resized and swept; actions with and
    without ordering keys run, fail, wait and are given up, and so do inputs and timers; at the end the worker stops.
    """

    def __init__(self, world: World, db: FailingDatabase) -> None:
        self.world, self.db = world, db
        self.layer = world.layer(Jobs(), lanes=3)
        self.handlers = Handlers()
        self.bodies: Counter[str] = Counter()
        retry = Retry(first_delay=0.2, max_delay=0.2, max_attempts=2)

        @self.handlers.on(Job, CheckJob, retry=retry)
        async def job(action: Any, attempt: Attempt) -> Done:
            await asyncio.sleep(0.05)
            if action.id == 13 or attempt.number == 1:
                raise OSError
            return Done("fill" if action.id == 14 else "")

        @self.handlers.on(SlowJob, limit=Limit(concurrency=1, per_second=100.0))
        async def slow(action: SlowJob, attempt: Attempt) -> Done:
            await asyncio.sleep(0.01)
            return Done()

    def worker(self, name: str) -> Worker:
        made = self.world.worker(self.layer, self.handlers, name, lease_seconds=1.0, concurrency=4)
        made._transact.db = self.db
        counted = made._transact.counted

        async def noting(body: Any, *args: Any, **time: Any) -> Any:
            self.bodies[body.__name__] += 1
            return await counted(body, *args, **time)

        made._transact.counted = noting  # type: ignore[method-assign]
        return made

    async def live(self) -> None:
        """Go through all of it, and check that everything was done and nothing has ended."""
        world, layer, good = self.world, self.layer, self.world.db
        first = self.worker("first")
        task = world.loop.create_task(first.run())
        for id in range(6):
            await aio.run(layer.apply, good, Order(id, key=f"k{id % 2}", slow=id % 3 == 0), ("o", id))
        for id in (10, 13, 14):
            await aio.run(layer.apply, good, Order(id, after=0.1), ("o", id))
        await aio.run(layer.apply, good, Remind(20, after=0.3), "remind")
        for number, payload in enumerate((Append("k", "a"), Break(), Fill(120), Append("k", "b"))):
            await aio.run(layer.submit, good, payload, ("s", number), "k")
        await asyncio.sleep(0.5)
        second = self.worker("second")
        other = world.loop.create_task(second.run())
        await world.until(lambda: len(second.lanes) > 0 and second._lanes.are_idle, 20.0)
        await killed(other)
        await aio.run(layer.resize, good, 2)
        await world.until(lambda: first.lanes == (0, 1), 40.0)
        await world.until(lambda: not list(layer.pending(good)), 60.0)
        await world.until(lambda: 20 in layer.view(good).reminded and len(layer.view(good).words["k"]) == 2, 20.0)
        await asyncio.sleep(2.0)
        assert not task.done(), "nothing ends the worker"
        first.stop()
        await task
        state = layer.view(good)
        assert {id: len(texts) for id, texts in state.results.items()} == dict.fromkeys([0, 1, 2, 3, 4, 5, 10], 1)
        assert list(state.words["k"]) == ["a", "b"]
        assert dict(state.reminded.items()) == {20: 1}
        assert sorted((letter.kind, str(letter.id)) for letter in layer.dead_letters(good)) == [
            ("action", "13"),
            ("action", "14"),
            ("input", "('s', 1)"),
            ("input", "('s', 2)"),
        ]


def _lives(monkeypatch: pytest.MonkeyPatch, code: int, **fails: Any) -> Life:
    """One life in which something fails."""
    monkeypatch.setattr(worker_module, "SWEEP_SECONDS", 1.0)
    lives = []

    @in_virtual_time
    async def test(world: World) -> None:
        db = FailingDatabase(world.db, code)
        for name, value in fails.items():
            setattr(db, name, value)
        lives.append(Life(world, db))
        await lives[0].live()

    test()
    return lives[0]


def test_a_life_runs_every_transaction_of_a_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    life = _lives(monkeypatch, 0)
    assert set(life.bodies) == {
        *("is_due", "enter", "beat", "claim", "evict", "hand_over", "leave", "take_over"),
        *("read_pages", "fire", "start", "settle", "apply_batch", "bury_first"),
    }


@pytest.mark.parametrize("code", CODES)
def test_a_commit_of_a_life_may_fail(code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    total = _lives(monkeypatch, code).db.commits
    for number in range(1 + CODES.index(code), total + 1, len(CODES)):
        _lives(monkeypatch, code, fails_commit=number)


@pytest.mark.parametrize("code", CODES)
def test_a_read_of_a_life_may_fail(code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    total = _lives(monkeypatch, code).db.reads
    for number in range(1 + CODES.index(code), total + 1, 4 * len(CODES)):
        _lives(monkeypatch, code, fails_read=number)


@pytest.mark.parametrize("after", [False, True])
def test_every_commit_of_a_life_may_time_out(after: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    total = _lives(monkeypatch, 1031).db.commits
    for number in range(1 + after, total + 1, 2):
        _lives(monkeypatch, 1031, fails_commit=number, after=after)


@in_virtual_time
async def test_an_outage_is_waited_for_whatever_it_meets(world: World) -> None:
    """It begins at a time of its own in each round, and lasts longer than a lease."""
    for begins in range(0, 30, 3):
        another = World(world.loop)
        db = FailingDatabase(another.db)
        task = world.loop.create_task(Life(another, db).live())
        await asyncio.sleep(begins / 10)
        db.is_away = True
        await asyncio.sleep(2.5)
        db.is_away = False
        await task


@in_virtual_time
async def test_a_worker_that_begins_and_is_stopped_in_an_outage(world: World) -> None:
    db = FailingDatabase(world.db)
    db.is_away = True
    layer = world.layer(Jobs())
    worker = world.worker(layer, Handlers())
    worker._transact.db = db
    task = world.loop.create_task(worker.run())
    await asyncio.sleep(30.0)
    assert not task.done()
    worker.stop()
    await asyncio.wait_for(task, 1.0)


@in_virtual_time
async def test_what_no_new_try_can_mend_ends_a_worker(world: World) -> None:
    class Newer(Jobs):
        name = "Jobs"
        schema_version = 2

        def migrate(self, state: Any, from_version: int) -> bool:
            return False

    world.layer(Jobs()).apply(world.db, Order(1))
    worker = world.worker(world.layer(Jobs()), Handlers(), lease_seconds=1.0)
    task = world.loop.create_task(worker.run())
    await asyncio.sleep(1.0)
    await aio.run(world.layer(Newer()).migrate, world.db)
    with pytest.raises(KeyspaceError, match="upgrade this process"):
        await task


@in_virtual_time
async def test_the_log_says_what_failed_and_when_it_is_tried_again(world: World) -> None:
    lines: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = lines.append  # type: ignore[method-assign]
    supervisor.logger.addHandler(handler)
    try:
        db = FailingDatabase(world.db)
        worker = world.worker(world.layer(Jobs()), Handlers(), lease_seconds=4.0)
        worker._transact.db = db
        async with worker:
            await asyncio.sleep(1.0)
            db.is_away = True
            await asyncio.sleep(5.0)
            db.is_away = False
            await asyncio.sleep(5.0)
    finally:
        supervisor.logger.removeHandler(handler)
    said = [line for line in lines if getattr(line, "work", "") == "keeping its place"]
    assert 4 <= len(said) <= 12, "the pauses grow up to a second"
    assert all("trying again in" in line.getMessage() and "1031" in line.getMessage() for line in said)
    assert {(line.worker, line.code) for line in said} == {("worker", 1031)}  # type: ignore[attr-defined]
