"""A group of commits: each checked on its own, all in one SQLite transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pytest

from phasm_fdb.embedded import sqlite_commit
from phasm_fdb.embedded.commit_queue import MustWait, QueuedCommit
from phasm_fdb.embedded.mutation import ADD, CLEAR, CLEAR_RANGE, SET, SET_VERSIONSTAMPED_KEY, Mutation
from phasm_fdb.embedded.sqlite import SqliteStore
from phasm_fdb.embedded.sqlite_commit import GroupWriter
from phasm_fdb.embedded.sqlite_connections import Connections
from phasm_fdb.embedded.sqlite_format import PAGE_SIZE, companions
from phasm_fdb.embedded.sqlite_rows import SummedRows
from phasm_fdb.embedded.store import WINDOW_VERSIONS, CommitRequest, Committed
from phasm_fdb.errors import FDBError
from tests.embedded.sqlite_help import ManualClock, contents, open_store

NOW = 20_000_000


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    """To look at the file."""
    store = open_store(tmp_path / "db.sqlite", ManualClock())
    yield store
    store.close()


@pytest.fixture
def touched() -> list[object]:
    """What the writer says that its groups changed."""
    return []


@pytest.fixture
def writer(store: SqliteStore, touched: list[object]) -> Iterator[GroupWriter]:
    connections = Connections(store.path, "normal")
    yield GroupWriter(connections, SummedRows(connections.path), now=lambda: NOW, committed=touched.append)
    connections.close()


def queued(
    store: SqliteStore,
    mutations: Sequence[Mutation],
    reads: Iterable[bytes] | None = None,
    taken_at: int = NOW,
) -> QueuedCommit:
    """A commit of a transaction that read `reads`, if it read anything, at the store's present version."""
    snapshot = None if reads is None else store.snapshot()
    request = CommitRequest(snapshot, list(reads or ()), [], [key for _, key, _ in mutations], [], mutations)
    return QueuedCommit(request, 0 if snapshot is None else snapshot.version, taken_at, None)


def codes(group: Sequence[QueuedCommit]) -> list[int]:
    """The error code of each commit; 0 for a success."""
    return [entry.outcome.code if isinstance(entry.outcome, FDBError) else 0 for entry in group]


def test_a_group_shares_a_version_and_keeps_its_order(store: SqliteStore, writer: GroupWriter) -> None:
    group = [queued(store, [(SET, b"k", b"%d" % number)]) for number in range(5)]
    writer.write(group, True)
    outcomes = [entry.outcome for entry in group]
    assert outcomes == [Committed(NOW, number) for number in range(5)]
    assert contents(store) == {b"k": b"4"}


def test_each_is_checked_against_those_before_it(store: SqliteStore, writer: GroupWriter) -> None:
    first = queued(store, [(SET, b"a", b"1")], reads=[b"a"])
    second = queued(store, [(SET, b"a", b"2")], reads=[b"a"])
    third = queued(store, [(SET, b"c", b"3")], reads=[b"b"])
    writer.write([first, second, third], True)
    assert codes([first, second, third]) == [0, 1020, 0]
    assert contents(store) == {b"a": b"1", b"c": b"3"}
    assert [first.outcome, third.outcome] == [Committed(NOW, 0), Committed(NOW, 1)]


def test_a_refused_commit_does_not_count_as_a_write(store: SqliteStore, writer: GroupWriter) -> None:
    group = [
        queued(store, [(SET, b"a", b"1")], reads=[b"a"]),
        queued(store, [(SET, b"b", b"2")], reads=[b"a"]),
        queued(store, [(SET, b"c", b"3")], reads=[b"b"]),
    ]
    writer.write(group, True)
    assert codes(group) == [0, 1020, 0]


def test_one_that_is_too_old_does_not_stop_the_others(store: SqliteStore, writer: GroupWriter) -> None:
    group = [
        queued(store, [(SET, b"a", b"")], reads=[b"x"], taken_at=NOW - WINDOW_VERSIONS - 1),
        queued(store, [(SET, b"b", b"")], reads=[b"x"], taken_at=NOW - WINDOW_VERSIONS),
        queued(store, [(SET, b"c", b"")], taken_at=0),
    ]
    writer.write(group, True)
    assert codes(group) == [1007, 0, 0]
    assert set(contents(store)) == {b"b", b"c"}


def test_a_group_of_which_none_passes_writes_nothing(
    store: SqliteStore, writer: GroupWriter, touched: list[object]
) -> None:
    version = store.snapshot().version
    group = [queued(store, [(SET, b"a", b"")], reads=[b"x"], taken_at=0)]
    writer.write(group, True)()
    assert codes(group) == [1007]
    assert store.snapshot().version == version
    assert touched == [()]


def test_atomics_of_a_group_add_up(store: SqliteStore, writer: GroupWriter) -> None:
    writer.write([queued(store, [(ADD, b"n", b"\x01")]) for _ in range(7)], True)
    assert contents(store) == {b"n": b"\x07"}


def test_mutations_apply_in_their_order(store: SqliteStore, writer: GroupWriter) -> None:
    """A cleared range counts for what comes after it, in the same commit and in the next of the group."""
    writer.write([queued(store, [(SET, b"a", b"\x05"), (SET, b"b", b"\x05"), (SET, b"c", b"\x05")])], True)
    first = queued(store, [(ADD, b"a", b"\x01"), (CLEAR_RANGE, b"a", b"c"), (ADD, b"a", b"\x01")])
    second = queued(store, [(ADD, b"b", b"\x01"), (ADD, b"c", b"\x01"), (CLEAR, b"a", b""), (ADD, b"a", b"\x07")])
    writer.write([first, second], True)
    assert contents(store) == {b"a": b"\x07", b"b": b"\x01", b"c": b"\x06"}


def test_the_stamps_of_a_group_differ_in_their_last_bytes(store: SqliteStore, writer: GroupWriter) -> None:
    stamped = (SET_VERSIONSTAMPED_KEY, b"log/" + bytes(10) + b"\x04\0\0\0", b"")
    group = [QueuedCommit(CommitRequest(None, [], [], [], [], [stamped]), 0, 0, None) for _ in range(3)]
    writer.write(group, True)
    stamp = NOW.to_bytes(8, "big")
    assert list(contents(store)) == [b"log/" + stamp + bytes([0, order]) for order in range(3)]


def test_a_stamped_key_conflicts_like_any_other(store: SqliteStore, writer: GroupWriter) -> None:
    stamped = (SET_VERSIONSTAMPED_KEY, b"log/" + bytes(10) + b"\x04\0\0\0", b"")
    append = QueuedCommit(CommitRequest(None, [], [], [], [], [stamped]), 0, 0, None)
    snapshot = store.snapshot()
    request = CommitRequest(snapshot, [], [(b"log/", b"log0")], [b"out"], [], [(SET, b"out", b"")])
    reader = QueuedCommit(request, snapshot.version, NOW, None)
    writer.write([append, reader], True)
    assert codes([append, reader]) == [0, 1020]


def test_it_says_what_changed(store: SqliteStore, writer: GroupWriter, touched: list[object]) -> None:
    writer.write([queued(store, [(SET, b"a", b""), (SET, b"b", b"")]), queued(store, [(SET, b"a", b"1")])], True)()
    (keys,) = touched
    assert set(keys) == {b"a", b"b"}  # type: ignore[call-overload]


def test_who_may_not_wait_for_a_lock_does_not(store: SqliteStore, writer: GroupWriter) -> None:
    holder = sqlite3.connect(store.path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    group = [queued(store, [(SET, b"a", b"1")])]
    with pytest.raises(MustWait):
        writer.write(group, False)
    assert group[0].outcome is None
    holder.execute("ROLLBACK")
    holder.close()
    writer.write(group, False)
    assert codes(group) == [0]


class Cramped(Connections):
    """To a file that may have forty pages, which gives the error of a full disk."""

    def take(self) -> sqlite3.Connection:
        connection = super().take()
        connection.execute("PRAGMA max_page_count = 40")
        return connection


def test_a_commit_that_does_not_fit_fails_alone(store: SqliteStore) -> None:
    connections = Cramped(store.path, "normal")
    writer = GroupWriter(connections, SummedRows(connections.path), now=lambda: NOW, committed=lambda keys: None)
    group = [
        queued(store, [(SET, b"a", b"1")]),
        queued(store, [(SET, b"%03d" % number, bytes(50_000)) for number in range(10)]),
        queued(store, [(SET, b"b", b"2")]),
    ]
    writer.write(group, True)
    assert codes(group) == [0, 1510, 0]
    assert contents(store) == {b"a": b"1", b"b": b"2"}
    connections.close()


def test_who_may_not_wait_leaves_the_checkpoints_to_others(
    store: SqliteStore, writer: GroupWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A checkpoint syncs, so it is not made for an event loop; when the log has grown, a thread has to come."""
    monkeypatch.setattr(sqlite_commit, "CHECKPOINT_PAGES", 50)
    log, written = companions(store.path)[0], 0
    with pytest.raises(MustWait):
        for written in range(1000):
            writer.write([queued(store, [(SET, b"%d" % written, bytes(4096))])], False)
    assert written > 10
    grown = log.stat().st_size
    assert grown >= written * PAGE_SIZE
    group = [queued(store, [(SET, b"from a thread", b"")])]
    writer.write(group, True)
    assert codes(group) == [0]
    for number in range(10):  # the log has been started over, and begins again from its start
        writer.write([queued(store, [(SET, b"%d" % number, bytes(4096))])], False)
    assert log.stat().st_size < grown + 5 * PAGE_SIZE
