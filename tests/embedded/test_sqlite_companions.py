"""A log or an index that is removed, replaced or cut short while the database is open loses nothing silently."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from phasm_fdb.embedded import sqlite_commit
from phasm_fdb.embedded.mutation import SET
from phasm_fdb.embedded.sqlite import SqliteStore
from phasm_fdb.embedded.sqlite_format import PAGE_SIZE, companions
from phasm_fdb.embedded.store import Committed
from phasm_fdb.errors import FDBError
from tests.embedded.sqlite_help import ManualClock, contents, open_store, outcome, put

COMMITS = 20

ANOTHER_PROCESS = """
import sys
from phasm_fdb.embedded import open_sqlite
db = open_sqlite(sys.argv[1], poll_seconds=None)
db[b"theirs"] = b"1"
db.close()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "db"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(time.time())  # as another process has it


@pytest.fixture
def store(path: Path, clock: ManualClock) -> SqliteStore:
    """One with some commits, of which none was copied into the file yet."""
    store = open_store(path, clock)
    for number in range(COMMITS):
        put(store, **{f"{number:02}": b"v" * 1000})
    return store


def refused(store: SqliteStore) -> str:
    """What a commit that is refused for good says."""
    error = outcome(store, [(SET, b"more", b"1")])
    assert isinstance(error, FDBError)
    assert (error.code, error.retryable) == (1511, False)
    return str(error)


def commit_in_another_process(path: Path) -> None:
    subprocess.run([sys.executable, "-c", ANOTHER_PROCESS, str(path)], check=True, timeout=60)


def reopened(path: Path, clock: ManualClock) -> dict[bytes, bytes]:
    """What there is when it is opened again, checked as a whole."""
    store = open_store(path, clock, check=True)
    found = contents(store)
    put(store, now=b"1")
    store.close()
    return found


def cuts(log: Path) -> list[int]:
    """Lengths to which a log can be cut: to nothing, anywhere, at frames, and just behind the last commit but one."""
    length = log.stat().st_size
    frames = (length - 32) // (24 + PAGE_SIZE)
    return [0, 10, 32, 5000, *(32 + kept * (24 + PAGE_SIZE) for kept in range(frames - 9, frames)), length - 1]


def test_a_log_that_was_cut_short_is_not_written_to(store: SqliteStore, path: Path, clock: ManualClock) -> None:
    log = companions(path)[0]
    whole = log.read_bytes()
    for length in cuts(log):
        copy = path.with_name(f"cut to {length}")
        copy.write_bytes(path.read_bytes())
        companions(copy)[0].write_bytes(whole)
        mine = open_store(copy, clock)
        put(mine, mine=b"1")
        extra = companions(copy)[0].stat().st_size - len(whole)
        assert extra > 0
        os.truncate(companions(copy)[0], length)
        assert "was cut short" in refused(mine)
        assert "was cut short" in refused(mine)
        assert companions(copy)[0].stat().st_size == length
        mine.close()
        left = reopened(copy, clock)
        assert list(left) == [b"%02d" % number for number in range(len(left))], "those of the first commits"
    store.close()


def test_the_last_frame_of_the_last_commit_counts(store: SqliteStore, path: Path, clock: ManualClock) -> None:
    log = companions(path)[0]
    os.truncate(log, log.stat().st_size - 24 - PAGE_SIZE)
    assert "was cut short" in refused(store)
    store.close()
    assert len(reopened(path, clock)) == COMMITS - 1


def test_who_closes_a_database_whose_log_was_cut_is_told(store: SqliteStore, path: Path, clock: ManualClock) -> None:
    """Where no commit was told before."""
    os.truncate(companions(path)[0], 5000)
    with pytest.raises(FDBError, match="was cut short"):
        store.close()
    store.close()
    assert reopened(path, clock) == {}


def test_a_log_that_another_connection_has_started_over_is_no_loss(
    store: SqliteStore, path: Path, clock: ManualClock
) -> None:
    other = sqlite3.connect(path)
    assert other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone() == (0, 0, 0)
    assert companions(path)[0].stat().st_size == 0
    put(store, more=b"1")
    other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    other.close()
    store.close()
    assert len(reopened(path, clock)) == COMMITS + 1


def test_two_that_start_the_log_over_in_turn_find_no_loss(
    path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_commit, "CHECKPOINT_PAGES", 20)
    monkeypatch.setattr(sqlite_commit, "LONG_LOG_BYTES", 10 * PAGE_SIZE)
    stores = [open_store(path, clock), open_store(path, clock)]
    for number in range(200):
        put(stores[number // 7 % 2], **{f"{number:03}": b"v" * 1000})
    for store in stores:
        store.close()
    assert len(reopened(path, clock)) == 200


def test_after_the_index_was_removed_the_commits_of_both_sides_are_kept(
    store: SqliteStore, path: Path, clock: ManualClock
) -> None:
    """Another process makes a new index from the log, and commits what this one cannot see, so must not remove."""
    companions(path)[1].unlink()
    commit_in_another_process(path)
    assert "deleted or replaced" in refused(store)
    store.close()
    assert len(reopened(path, clock)) == COMMITS + 1


def test_who_has_only_read_removes_no_log_that_it_cannot_see(
    store: SqliteStore, path: Path, clock: ManualClock
) -> None:
    store.close()
    reader = open_store(path, clock)
    assert len(contents(reader)) == COMMITS
    companions(path)[1].unlink()
    commit_in_another_process(path)
    reader.close()
    assert len(reopened(path, clock)) == COMMITS + 1


def test_a_fork_removes_no_log_that_the_parent_cannot_see(store: SqliteStore, path: Path, clock: ManualClock) -> None:
    companions(path)[1].unlink()
    commit_in_another_process(path)
    connections = store._connections
    connections.suspend(time.monotonic())
    assert companions(path)[0].exists()
    connections.resume()
    assert len(contents(store)) == COMMITS + 1
    put(store, more=b"1")
    store.close()
    assert len(reopened(path, clock)) == COMMITS + 2


def test_snapshots_see_within_five_seconds_that_others_do_not_see_them(
    store: SqliteStore, path: Path, clock: ManualClock
) -> None:
    store.snapshot()
    companions(path)[1].unlink()
    clock.sleep(5.0)
    with pytest.raises(FDBError, match="deleted or replaced"):
        store.snapshot()
    store.close()


def test_what_is_in_a_removed_log_is_saved_by_who_closes_it(store: SqliteStore, path: Path, clock: ManualClock) -> None:
    companions(path)[0].unlink()
    companions(path)[0].touch()  # by another process, which cannot do more with it
    store.close()
    assert len(reopened(path, clock)) == COMMITS


def test_a_log_in_its_place_is_left_alone_and_who_closes_is_told(store: SqliteStore, path: Path) -> None:
    log = companions(path)[0]
    log.unlink()
    log.write_bytes(b"another log")
    with pytest.raises(FDBError, match="deleted or replaced"):
        store.close()
    assert log.read_bytes() == b"another log"


def test_a_read_of_what_was_cut_off_says_so(store: SqliteStore, path: Path, clock: ManualClock) -> None:
    other = open_store(path, clock)
    assert isinstance(outcome(other), Committed)
    os.truncate(companions(path)[0], 5000)
    with pytest.raises(FDBError, match="was cut short") as caught:
        contents(store)
    assert caught.value.code == 1511
    for one in (store, other):
        with pytest.raises(FDBError, match="was cut short"):
            one.close()


def test_a_log_that_others_have_made_longer_was_cut(store: SqliteStore, path: Path, clock: ManualClock) -> None:
    """Its index says how long it has to be, whoever has committed last; and a page that is read may be there still."""
    other = open_store(path, clock)
    put(other, more=b"v" * 20_000)
    log = companions(path)[0]
    os.truncate(log, log.stat().st_size - 1)
    assert "was cut short" in refused(store)
    assert "was cut short" in refused(other)
    store.close()
    other.close()
    assert len(reopened(path, clock)) == COMMITS


def test_closing_one_of_two_leaves_the_other_its_locks(path: Path, clock: ManualClock) -> None:
    """Closing any descriptor of the index would drop them: the one that is looked through stays open until both are."""
    mine, other = open_store(path, clock), open_store(path, clock)
    put(mine, a=b"1")
    put(other, b=b"1")
    mine.close()
    connection = other._connections.take()
    connection.execute("BEGIN IMMEDIATE")
    begin = "import sqlite3, sys; sqlite3.connect(sys.argv[1], 0).execute('BEGIN IMMEDIATE')"
    tried = subprocess.run([sys.executable, "-c", begin, path], capture_output=True, text=True, timeout=60)
    assert "database is locked" in tried.stderr
    connection.execute("ROLLBACK")
    other._connections.give(connection)
    other.close()
    links = [link.readlink() for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
    assert not [link for link in links if str(link).startswith(str(path))]
