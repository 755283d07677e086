"""Several processes on one SQLite file: conflicts, watches, locks, and a file that is taken away.

Two stores opened on one file share nothing but the file, as two processes do.
"""

from __future__ import annotations

import multiprocessing
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from phasm_fdb.embedded import open_sqlite, sqlite_commit, sqlite_format
from phasm_fdb.embedded.mutation import CLEAR_RANGE, SET
from phasm_fdb.embedded.sqlite import SqliteStore
from phasm_fdb.embedded.sqlite_commit import LOCK_SECONDS
from phasm_fdb.embedded.sqlite_connections import Connections
from phasm_fdb.embedded.store import Committed
from phasm_fdb.errors import DatabaseError, FDBError
from tests.embedded.sqlite_help import END, ManualClock, contents, open_store, outcome, put

#: Only a failing test waits so long.
PATIENCE_SECONDS = 30.0


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "db.sqlite"


@pytest.fixture
def stores(path: Path, clock: ManualClock) -> Iterator[tuple[SqliteStore, SqliteStore]]:
    mine, theirs = open_store(path, clock), open_store(path, clock)
    yield mine, theirs
    mine.close()
    theirs.close()


def code_of(result: Committed | FDBError) -> int:
    return result.code if isinstance(result, FDBError) else 0


def test_each_sees_the_other_s_commits(stores: tuple[SqliteStore, SqliteStore]) -> None:
    mine, theirs = stores
    versions = []
    for number in range(10):
        versions.append(put(mine, a=b"%d" % number))
        assert contents(theirs)[b"a"] == b"%d" % number
        versions.append(put(theirs, b=b"%d" % number))
        assert contents(mine)[b"b"] == b"%d" % number
    assert versions == sorted(set(versions))


@pytest.mark.parametrize("read", [{"reads": [b"a"]}, {"read_ranges": [(b"a", b"b")]}])
def test_a_commit_of_another_process_conflicts(
    stores: tuple[SqliteStore, SqliteStore], read: dict[str, list[bytes]]
) -> None:
    mine, theirs = stores
    snapshot = mine.snapshot()
    assert snapshot.get(b"a") is None
    put(theirs, a=b"new")
    assert code_of(outcome(mine, [(SET, b"out", b"")], snapshot=snapshot, **read)) == 1020  # type: ignore[arg-type]
    assert b"out" not in contents(mine)


def test_a_range_cleared_by_another_process_conflicts(stores: tuple[SqliteStore, SqliteStore]) -> None:
    mine, theirs = stores
    snapshot = mine.snapshot()
    assert snapshot.get(b"m") is None
    outcome(theirs, [(CLEAR_RANGE, b"", END)], write_keys=[], write_ranges=[(b"", END)])
    assert code_of(outcome(mine, [(SET, b"out", b"")], snapshot=snapshot, reads=[b"m"])) == 1020


def test_what_another_process_wrote_elsewhere_does_not_conflict(
    stores: tuple[SqliteStore, SqliteStore],
) -> None:
    mine, theirs = stores
    snapshot = mine.snapshot()
    assert snapshot.get(b"a") is None
    put(theirs, b=b"new")
    assert code_of(outcome(mine, [(SET, b"out", b"")], snapshot=snapshot, reads=[b"a"])) == 0


def test_a_process_that_opens_later_knows_the_conflicts_before(
    stores: tuple[SqliteStore, SqliteStore], path: Path, clock: ManualClock
) -> None:
    mine, _ = stores
    version = mine.snapshot().version
    put(mine, a=b"new")
    late = open_store(path, clock)
    result = outcome(late, [(SET, b"out", b"")], snapshot=late.snapshot(version), reads=[b"a"])
    assert code_of(result) == 1020
    late.close()


def test_a_watch_sees_another_process_s_commit_at_the_next_poll(
    stores: tuple[SqliteStore, SqliteStore],
) -> None:
    mine, theirs = stores
    fired: list[FDBError | None] = []
    put(theirs, a=b"old", b=b"old")
    mine.watch(b"a", b"old", fired.append)
    put(theirs, b=b"new")
    assert mine.watches.poll()
    assert fired == []
    put(theirs, a=b"new")
    assert not mine.watches.poll(), "no watch is left to poll for"
    assert fired == [None]


def test_a_watch_that_is_late_fires_at_once(stores: tuple[SqliteStore, SqliteStore]) -> None:
    mine, theirs = stores
    put(theirs, a=b"new")
    fired: list[FDBError | None] = []
    mine.watch(b"a", b"old", fired.append)
    assert fired == [None]


def test_a_watch_misses_nothing_while_its_poll_sleeps(
    stores: tuple[SqliteStore, SqliteStore], clock: ManualClock
) -> None:
    """The change is long out of the history when the next poll comes."""
    mine, theirs = stores
    fired: list[FDBError | None] = []
    mine.watch(b"a", None, fired.append)
    put(theirs, a=b"new")
    for number in range(100):
        clock.now += 0.2
        put(theirs, b=b"%d" % number)
    mine.watches.poll()
    assert fired == [None]


def test_a_watch_may_commit_when_it_fires(stores: tuple[SqliteStore, SqliteStore]) -> None:
    mine, _ = stores

    def fired(error: FDBError | None) -> None:
        put(mine, b=b"from the watch")

    mine.watch(b"a", None, fired)
    put(mine, a=b"new")
    assert contents(mine) == {b"a": b"new", b"b": b"from the watch"}


def test_a_second_open_in_one_process_leaves_the_locks_alone(path: Path, clock: ManualClock) -> None:
    """POSIX locks go when any descriptor of the file is closed: the second open must not look with its own."""
    first = open_store(path, clock)
    put(first, a=b"1")
    lock = Connections(path, "normal").take()
    lock.execute("BEGIN IMMEDIATE")
    second = open_store(path, clock)
    held = subprocess.run(
        [sys.executable, "-c", LOCKS_OF_OTHERS, str(path)], capture_output=True, text=True, check=True
    )
    lock.execute("ROLLBACK")
    lock.close()
    assert held.stdout.strip() == "shared"
    second.close()
    first.close()


#: Asks the system whether another process holds SQLite's shared lock on the file: any SQLite client would then
#: know that the file is in use. The byte is 2 after the pending byte, at 1 GiB.
LOCKS_OF_OTHERS = """
import fcntl, struct, sys
file = open(sys.argv[1], "r+b")
ask = struct.pack("hhqqhh", fcntl.F_WRLCK, 0, 0x40000002, 510, 0, 0)
kind = struct.unpack("hhqqhh", fcntl.fcntl(file, fcntl.F_GETLK, ask))[0]
print("shared" if kind == fcntl.F_RDLCK else "none")
"""


def test_a_cancelled_watch_stays_silent(stores: tuple[SqliteStore, SqliteStore]) -> None:
    mine, theirs = stores
    fired: list[FDBError | None] = []
    watch = mine.watch(b"a", None, fired.append)
    watch.cancel()
    watch.cancel()
    put(mine, a=b"1")
    put(theirs, a=b"2")
    mine.watches.poll()
    assert fired == []


def test_closing_tells_the_watches(path: Path, clock: ManualClock) -> None:
    store = open_store(path, clock)
    fired: list[FDBError | None] = []
    store.watch(b"a", None, fired.append)
    store.close()
    (error,) = fired
    assert error is not None
    assert error.code == 1025


def _set_key(path: str) -> None:
    db = open_sqlite(path)
    db[b"a"] = b"from another process"
    db.close()


def test_the_polling_thread_hears_of_another_process(path: Path) -> None:
    db = open_sqlite(path, poll_seconds=0.001)
    tr = db.create_transaction()
    future, fired = tr.watch(b"a"), threading.Event()
    future.on_ready(lambda _: fired.set())
    tr.commit().wait()
    writer = multiprocessing.get_context("spawn").Process(target=_set_key, args=(str(path),))
    writer.start()
    assert fired.wait(PATIENCE_SECONDS)
    writer.join()
    assert db[b"a"] == b"from another process"
    db.close()


def test_a_lock_that_is_held_too_long_fails_the_commit_and_nothing_else(
    stores: tuple[SqliteStore, SqliteStore], path: Path, clock: ManualClock
) -> None:
    mine, _ = stores
    put(mine, a=b"1")
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    began = clock.now
    result = outcome(mine, [(SET, b"a", b"2")])
    assert clock.now - began == pytest.approx(LOCK_SECONDS, abs=0.1)
    assert isinstance(result, FDBError)
    assert result.code == 1020
    assert "locked by another process" in result.detail
    assert contents(mine) == {b"a": b"1"}, "readers do not wait"
    holder.execute("ROLLBACK")
    holder.close()
    put(mine, a=b"3")


def test_a_lock_that_is_given_back_in_time_only_delays(path: Path) -> None:
    clock = ManualClock()
    open_store(path, clock).close()
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    pauses: list[float] = []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            holder.execute("ROLLBACK")

    store = SqliteStore(path, synchronous="normal", poll_seconds=None, wall_clock=clock, sleep=sleep)
    put(store, a=b"1")
    assert len(pauses) == 3
    assert pauses == sorted(pauses)
    store.close()
    holder.close()


def test_a_deleted_file_ends_commits_and_new_snapshots(stores: tuple[SqliteStore, SqliteStore], path: Path) -> None:
    mine, _ = stores
    put(mine, a=b"1")
    fired: list[FDBError | None] = []
    mine.watch(b"a", b"1", fired.append)
    path.unlink()
    result = outcome(mine, [(SET, b"a", b"2")])
    assert isinstance(result, FDBError)
    assert result.code == 1511
    assert not result.retryable
    assert str(path) in str(result)
    with pytest.raises(FDBError, match="deleted or replaced"):
        mine.snapshot()
    assert not mine.watches.poll()
    assert [error.code if error else 0 for error in fired] == [1511]
    assert not path.exists(), "it is not made again"


def test_a_replaced_file_is_not_written_to(stores: tuple[SqliteStore, SqliteStore], path: Path) -> None:
    mine, _ = stores
    path.rename(path.with_name("away.sqlite"))
    path.write_bytes(b"somebody else's file")
    result = outcome(mine, [(SET, b"a", b"2")])
    assert code_of(result) == 1511
    assert path.read_bytes() == b"somebody else's file"


@pytest.mark.parametrize("which", [0, 1])
def test_after_its_log_was_deleted_nothing_is_written_and_nothing_lost(
    stores: tuple[SqliteStore, SqliteStore], path: Path, clock: ManualClock, which: int
) -> None:
    """Another process would make a log, or an index of it, that this one does not look at."""
    mine, theirs = stores
    put(mine, a=b"1")
    put(theirs, b=b"1")
    sqlite_format.companions(path)[which].unlink()
    for store in stores:
        result = outcome(store, [(SET, b"a", b"2")])
        assert isinstance(result, FDBError)
        assert (result.code, result.retryable) == (1511, False)
        assert "was deleted or replaced while the database was open" in str(result)
        assert contents(store) == {b"a": b"1", b"b": b"1"}
    mine.close()
    theirs.close()
    again = open_store(path, clock, check=True)
    assert contents(again) == {b"a": b"1", b"b": b"1"}
    put(again, a=b"3")
    again.close()


def test_a_closed_database_says_so(path: Path, clock: ManualClock) -> None:
    store = open_store(path, clock)
    snapshot = store.snapshot()
    store.close()
    store.close()
    for call in (lambda: snapshot.get(b"a"), lambda: put(store, a=b"1")):
        with pytest.raises(DatabaseError, match="is closed"):
            call()


def test_an_open_transaction_does_not_keep_the_log_from_starting_over(
    path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its reads are short SQLite reads, so a checkpoint finds nobody in its way."""
    monkeypatch.setattr(sqlite_commit, "CHECKPOINT_PAGES", 50)
    reader, writer = open_store(path, clock), open_store(path, clock)
    put(writer, a=b"old")
    snapshot = reader.snapshot()
    assert snapshot.get(b"a") == b"old"
    for number in range(500):
        put(writer, a=b"%d" % number, filler=bytes(4096))
    log = sqlite_format.companions(path)[0]
    assert log.stat().st_size < 100 * sqlite_format.PAGE_SIZE
    assert snapshot.get(b"a") == b"old"
    reader.close()
    writer.close()


def test_a_log_that_a_reader_has_kept_long_is_cut(
    path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader of another kind, such as a backup, keeps the log from starting over until it is done."""
    monkeypatch.setattr(sqlite_commit, "CHECKPOINT_PAGES", 50)
    monkeypatch.setattr(sqlite_commit, "LONG_LOG_BYTES", 100 * sqlite_format.PAGE_SIZE)
    log = sqlite_format.companions(path)[0]
    store = open_store(path, clock)
    backup = sqlite3.connect(path, isolation_level=None)
    backup.execute("BEGIN")
    backup.execute("SELECT count(*) FROM kv").fetchone()
    for number in range(200):
        put(store, a=b"%d" % number, filler=bytes(4096))
    assert log.stat().st_size > 200 * sqlite_format.PAGE_SIZE
    backup.execute("COMMIT")
    for number in range(50):
        put(store, a=b"%d" % number, filler=bytes(4096))
    assert log.stat().st_size < 100 * sqlite_format.PAGE_SIZE
    backup.close()
    store.close()
