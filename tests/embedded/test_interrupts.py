"""An exception between any two steps of a commit, as a signal's handler raises it, is nobody else's business.

The interrupted commit is wholly there or wholly not, and every other thread works on.
"""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sortedcontainers import SortedList

from phasm_fdb.database.wakeups import Wakeups
from phasm_fdb.embedded import Database, open_memory
from phasm_fdb.embedded.future import Future
from phasm_fdb.embedded.helper_thread import HelperThread
from phasm_fdb.embedded.sqlite import open_sqlite
from phasm_fdb.errors import FDBError
from tests.embedded.interrupts import Interrupted, run_interrupted

#: Only a failing test waits so long.
PATIENCE_SECONDS = 30.0

# An exception in a destructor is printed and dropped, as a connection that an interrupt let drop is closed by its own.
pytestmark = [
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]

#: More than there are places in any of these.
MOST_PLACES = 3000


def elsewhere(action: Callable[[], Any]) -> Any:
    """Do it in another thread, and return what it returned."""
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(action()), daemon=True)
    thread.start()
    thread.join(PATIENCE_SECONDS)
    assert not thread.is_alive(), "another thread waits for ever"
    return results[0]


def interrupted_everywhere(action: Callable[[int], Callable[[], object]]) -> Iterator[int]:
    """`action(n)` makes something to do, which is interrupted at its n-th place; yields n after each."""
    for place in range(1, MOST_PLACES):
        if not run_interrupted(action(place), place):
            return
        yield place
    raise AssertionError("it never comes to its end")


def rows(db: Database) -> dict[bytes, bytes]:
    return {row.key: row.value for row in db.get_range(b"", b"\xff")}


def before() -> dict[bytes, bytes]:
    """What is there before each commit."""
    return {b"cleared": b"1", b"r1": b"1", b"r2": b"2", b"kept": b"old", b"sum": b"\x01", b"watched": b"old"}


AFTER = {b"new": b"1", b"r2": b"new", b"kept": b"new", b"sum": b"\x03", b"watched": b"new"}


def prepare(db: Database) -> None:
    tr = db.create_transaction()
    tr.clear_range(b"", b"\xff")
    for key, value in before().items():
        tr[key] = value
    tr.commit().wait()


def change(db: Database) -> Any:
    """A transaction that turns `before()` into `AFTER`."""
    tr = db.create_transaction()
    tr.get(b"kept")
    tr.clear_range(b"r", b"s")
    tr.clear(b"cleared")
    tr[b"r2"] = b"new"
    tr[b"new"] = b"1"
    tr[b"kept"] = b"new"
    tr.add(b"sum", b"\x02")
    tr[b"watched"] = b"new"
    return tr


@pytest.fixture(autouse=True)
def collected() -> Iterator[None]:
    """What an interrupt let drop is destroyed in the test that made it, where the warnings about it are expected."""
    yield
    gc.collect()


@pytest.fixture(params=["memory", "alone", "queued"])
def db(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """On either store; on the file, the commit is written by its own thread, or by the helper."""
    if request.param == "memory":
        db = open_memory()
    else:
        db = open_sqlite(tmp_path / "db.phasm", synchronous="normal", poll_seconds=None)
    yield db
    elsewhere(db.close)


@pytest.fixture
def commit(request: pytest.FixtureRequest, db: Database) -> Callable[[Any], Callable[[], object]]:
    """Makes the call that commits a transaction."""
    queued = request.node.callspec.params["db"] == "queued"

    def make(tr: Any) -> Callable[[], object]:
        if queued:
            db._store._commits._crowd = 2  # type: ignore[attr-defined]
        return lambda: tr.commit().wait()

    return make


def test_a_commit_is_wholly_there_or_wholly_not(db: Database, commit: Callable[[Any], Callable[[], object]]) -> None:
    begun: list[Any] = []

    def action(place: int) -> Callable[[], object]:
        prepare(db)
        old = db.create_transaction()
        old[b"from-old"] = b"1"
        old.get(b"kept").wait()
        reader = db.create_transaction()
        reader[b"from-reader"] = b"1"
        reader.get(b"kept").wait()
        watch = db.get_and_watch(b"watched")[1]
        begun[:] = [old, reader, watch]
        return commit(change(db))

    seen = set()
    for place in interrupted_everywhere(action):
        old, reader, watch = begun
        elsewhere(lambda: db.set(b"other", b"1"))
        there = rows(db)
        del there[b"other"]
        seen.add(b"new" in there)
        assert there == (AFTER if b"new" in there else before()), f"half there, interrupted at {place}"
        assert {key: db.get(key) for key in there} == there
        # Who has begun before sees what there was, and is told that it has changed.
        assert {row.key: row.value for row in old.get_range(b"", b"\xff") if row.key != b"from-old"} == before()
        if b"new" in there:
            if not watch.is_ready():  # the watches of a file are polled too
                db._store.watches.poll()  # type: ignore[attr-defined]
            assert watch.is_ready()
            with pytest.raises(FDBError) as conflict:
                reader.commit().wait()
            assert conflict.value.code == 1020
        else:
            reader.commit().wait()  # what was not committed conflicts with nobody
    assert seen == {True, False}


def test_others_commit_while_one_is_interrupted(db: Database, commit: Callable[[Any], Callable[[], object]]) -> None:
    """They do so all the time, from other threads, and lose nothing."""
    stop = threading.Event()
    done = [0, 0]

    def go_on(number: int) -> None:
        while not stop.is_set():
            db.set(b"other%d" % number, b"%d" % (done[number] + 1))
            done[number] += 1

    threads = [threading.Thread(target=go_on, args=(number,), daemon=True) for number in range(2)]
    for thread in threads:
        thread.start()
    for place in range(1, 400, 7):
        tr = db.create_transaction()
        tr[b"mine"] = b"%d" % place
        run_interrupted(commit(tr), place)
    stop.set()
    for thread in threads:
        thread.join(PATIENCE_SECONDS)
        assert not thread.is_alive()
    assert [db.get(b"other0"), db.get(b"other1")] == [b"%d" % count for count in done]


def test_an_older_version_is_read_right_after_an_interrupt(tmp_path: Path) -> None:
    db = open_sqlite(tmp_path / "db.phasm", synchronous="normal", poll_seconds=None)
    begun: list[Any] = []

    def action(place: int) -> Callable[[], object]:
        prepare(db)
        begun[:] = [db.create_transaction() for _ in range(2)]
        for tr in begun:
            tr.get_read_version().wait()
        change(db).commit().wait()
        return lambda: list(begun[0].get_range(b"", b"\xff"))

    for place in interrupted_everywhere(action):
        found = elsewhere(lambda: {row.key: row.value for row in begun[1].get_range(b"", b"\xff")})
        assert found == before(), f"interrupted at {place}"
    db.close()


def test_the_size_of_a_range_is_right_after_an_interrupt() -> None:
    db = open_memory()
    for number in range(3000):
        db._store._keys.add(b"%04d" % number)  # type: ignore[attr-defined]
        db._store._values[b"%04d" % number] = b"x"  # type: ignore[attr-defined]

    def action(place: int) -> Callable[[], object]:
        db[b"0000"] = b"x"
        db._store._keys = SortedList(db._store._values)  # type: ignore[attr-defined]
        return lambda: db._store.snapshot().size(b"0500", b"0600")

    for _ in interrupted_everywhere(action):
        assert elsewhere(lambda: db._store.snapshot().size(b"0500", b"0600")) == 500


def test_closing_after_an_interrupt_tells_every_watch(db: Database) -> None:
    watch = db.get_and_watch(b"watched")[1]
    tr = change(db)
    assert run_interrupted(lambda: tr.commit().wait(), 30)
    elsewhere(db.close)
    assert watch.is_ready()


def test_all_who_wait_for_a_future_are_told() -> None:
    told: list[list[int]] = [[], []]
    futures: list[Future[int]] = []

    def action(place: int) -> Callable[[], object]:
        for calls in told:
            calls.clear()
        future: Future[int] = Future(pending=True)
        futures[:] = [future]
        for calls in told:
            future.on_ready(lambda ready, calls=calls: calls.append(ready.wait()))
        return lambda: future.settle(7)

    for _ in interrupted_everywhere(action):
        if not futures[0].is_ready():  # interrupted before it was settled: it still can be
            futures[0].settle(7)
        assert [set(calls) for calls in told] == [{7}, {7}]


def test_who_blocks_for_a_future_may_be_interrupted() -> None:
    for place in range(1, 30):
        future: Future[int] = Future(pending=True)
        settled = threading.Timer(0.0, lambda future=future: future.settle(7))

        def wait(future: Future[int] = future, settled: threading.Timer = settled) -> int:
            settled.start()
            return future.wait()

        run_interrupted(wait, place)
        settled.join(PATIENCE_SECONDS)
        assert elsewhere(future.wait) == 7


def test_a_callback_that_raises_is_no_interrupt(capsys: pytest.CaptureFixture[str]) -> None:
    future: Future[None] = Future(pending=True)
    told: list[int] = []

    def fail(_: object) -> None:
        told.append(1)
        raise Interrupted

    future.on_ready(fail)
    future.on_ready(lambda _: told.append(2))
    with pytest.raises(Interrupted):
        future.settle()
    assert told == [1, 1, 2]


def test_the_helper_can_be_woken_after_an_interrupt() -> None:
    ran = threading.Semaphore(0)

    def work() -> bool:
        ran.release()
        return False

    helper = HelperThread("test", work)
    for _ in interrupted_everywhere(lambda place: helper.wake):
        elsewhere(helper.wake)
        assert ran.acquire(timeout=PATIENCE_SECONDS)
    elsewhere(helper.stop)


async def test_a_task_is_woken_although_the_thread_that_wakes_it_was_interrupted() -> None:
    loop = asyncio.get_running_loop()
    for place in range(1, 40):
        wakeups, future = Wakeups(), Future[None](pending=True)
        woken = wakeups.soon(future, loop)
        run_interrupted(future.settle, place)
        if future.is_ready():
            await asyncio.wait_for(woken, PATIENCE_SECONDS)
