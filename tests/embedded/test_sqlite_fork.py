"""A fork with a database open: the child shares no lock and no descriptor, and no commit of either side is lost."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from phasm_fdb.embedded import sqlite_fork
from phasm_fdb.embedded.sqlite import SqliteStore
from phasm_fdb.embedded.sqlite_connections import Connections
from phasm_fdb.errors import DatabaseError
from tests.embedded.sqlite_help import ManualClock, contents, open_store, put
from tests.forking import PATIENCE_SECONDS, Child


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "db.sqlite"


@pytest.fixture
def store(path: Path) -> Iterator[SqliteStore]:
    store = open_store(path, ManualClock())
    put(store, a=b"1")
    yield store
    store.close()


def descriptors_of(path: Path) -> int:
    """How many descriptors this process has of the file, its log and its index; where the system can tell."""
    links = Path("/proc/self/fd")
    if not links.is_dir():
        return 0
    named = [link.readlink() for link in links.iterdir() if link.is_symlink()]
    return sum(str(name).startswith(str(path.resolve())) for name in named)


def test_the_child_is_told_to_open_it_itself(store: SqliteStore) -> None:
    def use(child: Child) -> list[str]:
        messages = []
        for call in (lambda: contents(store), lambda: put(store, a=b"2"), lambda: store.watch(b"a", None, print)):
            try:
                call()
            except DatabaseError as error:
                messages.append(str(error))
        store.close()  # which is nothing there
        return messages

    messages = Child(use).end()
    assert len(messages) == 3
    assert all("opened before this process was forked" in message for message in messages)
    put(store, b=b"still works in the parent")
    assert contents(store) == {b"a": b"1", b"b": b"still works in the parent"}


def test_no_descriptor_and_no_knowledge_of_locks_comes_down(store: SqliteStore, path: Path) -> None:
    assert contents(store)
    assert Child(lambda child: descriptors_of(path)).end() == 0


def test_both_write_side_by_side_and_whoever_closes_last_loses_nothing(path: Path) -> None:
    store = open_store(path, ManualClock())
    put(store, parent=b"before")

    def work(child: Child) -> dict[bytes, bytes]:
        mine = open_store(path, ManualClock())
        put(mine, child=b"1")
        child.pause()
        put(mine, late=b"2")
        child.pause()
        return contents(mine)

    child = Child(work)
    assert child.answer() == "paused"
    put(store, parent=b"after")
    assert contents(store) == {b"child": b"1", b"parent": b"after"}
    store.close()
    child.resume()
    assert child.answer() == "paused"
    third = open_store(path, ManualClock())  # while the child has it open still
    expected = {b"child": b"1", b"late": b"2", b"parent": b"after"}
    assert contents(third) == expected
    child.resume()
    assert child.end() == expected
    third.close()
    again = open_store(path, ManualClock(), check=True)
    assert contents(again) == expected
    again.close()


def test_a_child_of_a_child_may_open_it_too(store: SqliteStore, path: Path) -> None:
    def grandchild(child: Child) -> None:
        mine = open_store(path, ManualClock())
        put(mine, grandchild=b"1")

    def work(child: Child) -> Any:
        mine = open_store(path, ManualClock())
        put(mine, child=b"1")
        return Child(grandchild).end(), contents(mine)

    assert Child(work).end() == (None, {b"a": b"1", b"child": b"1", b"grandchild": b"1"})
    assert sorted(contents(store)) == [b"a", b"child", b"grandchild"]


def test_a_fork_waits_for_a_connection_in_use_and_others_wait_for_the_fork(store: SqliteStore, path: Path) -> None:
    pool = Connections(path, "normal")
    connection = pool.take()
    forked, reads = threading.Event(), threading.Event()

    def fork() -> None:
        pool.suspend(time.monotonic() + PATIENCE_SECONDS)
        forked.set()
        assert reads.wait(PATIENCE_SECONDS)
        pool.resume()

    forking = threading.Thread(target=fork)
    forking.start()
    assert not forked.is_set(), "the connection is in use"
    pool.give(connection)
    assert forked.wait(PATIENCE_SECONDS)
    assert pool.take_another() is None, "who has a connection must not wait for the fork, which waits for it"
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        connection.execute("SELECT 1")
    reads.set()
    pool.give(pool.take())  # waits for the end of the fork
    forking.join()
    pool.close()


def test_the_file_is_refused_to_the_child_if_a_connection_was_in_use(
    store: SqliteStore, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when a signal's handler forks in the middle of a read."""
    monkeypatch.setattr(sqlite_fork, "FORK_SECONDS", 0.0)
    pool = Connections(path, "normal")
    connection = pool.take()

    def work(child: Child) -> str:
        open_store(tmp_path / "other.sqlite", ManualClock()).close()
        try:
            open_store(path, ManualClock())
        except DatabaseError as error:
            return str(error)
        return "opened"

    message = Child(work).end()
    assert "it was in use in the parent when this process was forked" in message
    assert "close it before the fork" in message
    pool.give(connection)
    pool.close()
    assert contents(store) == {b"a": b"1"}
    assert Child(lambda child: contents(open_store(path, ManualClock()))).end() == {b"a": b"1"}


def test_a_closed_database_does_not_hinder(path: Path) -> None:
    store = open_store(path, ManualClock())
    put(store, a=b"1")
    store.close()
    assert Child(lambda child: contents(open_store(path, ManualClock()))).end() == {b"a": b"1"}


def test_threads_that_commit_at_the_fork(path: Path) -> None:
    """Nothing hangs and nothing is lost, whatever the other threads are at."""
    store = SqliteStore(path, synchronous="normal", poll_seconds=None)  # they really wait for each other's locks
    stop = threading.Event()
    counts = [0, 0]

    def commit(number: int) -> None:
        while not stop.is_set():
            counts[number] += 1
            put(store, **{f"thread{number}": b"%d" % counts[number]})

    threads = [threading.Thread(target=commit, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()

    def work(child: Child) -> bool:
        mine = SqliteStore(path, synchronous="normal", poll_seconds=None)
        put(mine, **{f"child{os.getpid()}": b""})
        return True

    children = []
    for _ in range(5):
        child = Child(work)
        assert child.end() is True
        children.append(b"child%d" % child.pid)
    stop.set()
    for thread in threads:
        thread.join()
    expected = {b"thread%d" % number: b"%d" % count for number, count in enumerate(counts)}
    assert contents(store) == expected | dict.fromkeys(children, b"")
    store.close()
