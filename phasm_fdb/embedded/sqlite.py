"""The SQLite store: FoundationDB's semantics in one file, shared by threads and processes.

A snapshot is only a number, the version of the newest commit that it sees. Every read is its own short SQLite
read; where the file has moved on since, the values that were overwritten are put back from the history (see
`sqlite_history`). So a transaction that is left open holds nothing in the file, an older read version needs no
special case, and the window of five seconds is enforced by a clock and by what the history still has.
"""

from __future__ import annotations

import random as random_module
import sqlite3
import time
from collections.abc import Callable, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from phasm_fdb.embedded import sqlite_format
from phasm_fdb.embedded.commit_queue import CommitQueue
from phasm_fdb.embedded.database import Database
from phasm_fdb.embedded.sqlite_commit import GroupWriter
from phasm_fdb.embedded.sqlite_connections import Connections, Synchronous
from phasm_fdb.embedded.sqlite_errors import is_locked, read_error
from phasm_fdb.embedded.sqlite_history import OldValues
from phasm_fdb.embedded.sqlite_watch import POLL_SECONDS, SqliteWatch, Watches
from phasm_fdb.embedded.store import (
    VERSIONS_PER_SECOND,
    WINDOW_SECONDS,
    WINDOW_VERSIONS,
    CommitDone,
    CommitRequest,
    WatchFired,
)
from phasm_fdb.errors import DatabaseError, FDBError

TRANSACTION_TOO_OLD = 1007
FUTURE_VERSION = 1009

LOCKED_TRIES = 200
"""How often a read is tried while another process recovers the log, 5 ms apart: a second in all."""

_LATEST = "SELECT max(version) FROM history"
_GET = "SELECT (SELECT value FROM kv WHERE key = ?), (SELECT max(version) FROM history)"
_FORWARD = "SELECT key, value FROM kv WHERE key >= ? AND key < ? ORDER BY key LIMIT ?"
_BACKWARD = "SELECT key, value FROM kv WHERE key >= ? AND key < ? ORDER BY key DESC LIMIT ?"
_SIZE = "SELECT total(length(key) + length(value)) FROM kv WHERE key >= ? AND key < ?"
# For a version that is asked for: the latest one, the oldest that can be read, and the one that followed.
_PLACE = """
    SELECT max(version),
        coalesce((SELECT max(version) FROM history WHERE version <= ?), min(version)),
        (SELECT min(version) FROM history WHERE version > ?)
    FROM history
"""

Pair = tuple[bytes, bytes]


class SqliteSnapshot:
    """The database at one version; see `Snapshot` of the store's protocol."""

    __slots__ = ("_store", "taken_at", "version")

    def __init__(self, store: SqliteStore, version: int, taken_at: float) -> None:
        self._store = store
        self.version = version
        self.taken_at = taken_at
        """When the five seconds began, by the store's clock."""

    def get(self, key: bytes, /) -> bytes | None:
        return self._store.get(self, key)

    def range(self, begin: bytes, end: bytes, limit: int, reverse: bool, /) -> Sequence[Pair]:
        return self._store.range(self, begin, end, limit, reverse)

    def size(self, begin: bytes, end: bytes, /) -> int:
        return self._store.size(self, begin, end)

    def close(self) -> None:
        """Nothing is held."""


class SqliteStore:
    """A store in the file at `path`; see `Store` for the rules of its methods.

    Args:
        path: the file; it is made where there is none.
        synchronous: whether a commit waits for the disk, see `sqlite_connections.Synchronous`.
        check: read the whole file before it is used.
        clock: seconds since the epoch, the same for all processes that share the file: versions are made of it.
        poll_seconds: how often watches look for commits of other processes; None for never.

    Raises:
        DatabaseError: the file cannot be used as it is, or where it is; the message says what to do.
    """

    def __init__(
        self,
        path: str | PathLike[str],
        *,
        synchronous: Synchronous = "full",
        check: bool = False,
        clock: Callable[[], float] = time.time,
        poll_seconds: float | None = POLL_SECONDS,
    ) -> None:
        if synchronous not in ("full", "normal"):
            raise DatabaseError(f"synchronous must be 'full' or 'normal', not {synchronous!r}")
        self.path = Path(path).absolute()
        self._clock = clock
        self._connections = _open_file(self.path, synchronous, check, clock)
        self._old = OldValues()
        self.watches = Watches(self._connections, poll_seconds)
        writer = GroupWriter(self._connections, clock=clock, committed=self.watches.committed)
        self._commits = CommitQueue(writer.write, always_waits=synchronous == "full")

    def snapshot(self, version: int | None = None, /) -> SqliteSnapshot:
        self._connections.require_file()
        now = self._clock()
        if version is None:
            return SqliteSnapshot(self, self._execute(_LATEST, ())[0][0], now)
        window = int(now * VERSIONS_PER_SECOND) - WINDOW_VERSIONS
        latest, oldest, successor = self._execute(_PLACE, (window, version))[0]
        if version > latest:
            raise FDBError(FUTURE_VERSION)
        if version < oldest:
            raise FDBError(TRANSACTION_TOO_OLD)
        # An older version was the latest one until its successor came.
        superseded = now if successor is None else min(now, successor / VERSIONS_PER_SECOND)
        return SqliteSnapshot(self, version, superseded)

    def commit(self, request: CommitRequest, done: CommitDone, /) -> None:
        self._connections.require_usable()
        snapshot: Any = request.snapshot
        if snapshot is None:
            self._commits.commit(request, 0, 0.0, done)
        else:
            self._commits.commit(request, snapshot.version, snapshot.taken_at, done)

    def help_commit(self) -> None:
        """Nothing to do: a thread that may block for its commit has done so within `commit`."""

    def watch(self, key: bytes, value: bytes | None, fired: WatchFired, /) -> SqliteWatch:
        return self.watches.add(key, value, fired)

    def close(self) -> None:
        self._commits.close()
        self.watches.close()
        self._connections.close()

    # ------------------------------------------------------------------------------- a snapshot's reads

    def get(self, snapshot: SqliteSnapshot, key: bytes) -> bytes | None:
        """The value of `key` at the snapshot's version."""
        self._require_young(snapshot)
        value, latest = self._execute(_GET, (key,))[0]
        version = snapshot.version
        if latest != version:
            value = self._with_connection(lambda connection: self._old.value(connection, key, version, value))
        found: bytes | None = value
        return found

    def range(self, snapshot: SqliteSnapshot, begin: bytes, end: bytes, limit: int, reverse: bool) -> Sequence[Pair]:
        """The first (with `reverse`: last) `limit` pairs of `[begin, end)` at the snapshot's version."""
        self._require_young(snapshot)
        statement = _BACKWARD if reverse else _FORWARD
        found: list[Pair] = []
        while begin < end and len(found) < limit:
            wanted = limit - len(found)
            rows: list[Pair] = self._execute(statement, (begin, end, wanted))
            # The latest version is read after the rows: if it is the snapshot's, the rows are too.
            if self._execute(_LATEST, ())[0][0] == snapshot.version:
                return found + rows
            # The rows say how far they reach: to the last one, or, being too few, to the end.
            span, begin, end = _cut(begin, end, rows, reached=len(rows) < wanted, reverse=reverse)
            pairs = self._merge(snapshot.version, span, rows)
            found += reversed(pairs) if reverse else pairs
        return found[:limit]

    def size(self, snapshot: SqliteSnapshot, begin: bytes, end: bytes) -> int:
        """The bytes in `[begin, end)` as they are now: an estimate of what they were."""
        self._require_young(snapshot)
        return int(self._execute(_SIZE, (begin, end))[0][0])

    def _merge(self, version: int, span: Pair, rows: list[Pair]) -> list[Pair]:
        pairs: list[Pair] = self._with_connection(lambda connection: self._old.merge(connection, version, span, rows))
        return pairs

    def _require_young(self, snapshot: SqliteSnapshot) -> None:
        if self._clock() - snapshot.taken_at > WINDOW_SECONDS:
            raise FDBError(TRANSACTION_TOO_OLD)

    def _execute(self, statement: str, parameters: tuple[Any, ...]) -> list[Any]:
        """All rows of one statement, which is one consistent read of the file."""
        connection = self._connections.take()
        try:
            return connection.execute(statement, parameters).fetchall()
        except sqlite3.Error as error:
            if not is_locked(error):
                raise read_error(error, self.path) from error
        finally:
            self._connections.give(connection)
        rows: list[Any] = self._with_connection(lambda connection: connection.execute(statement, parameters).fetchall())
        return rows

    def _with_connection(self, read: Callable[[sqlite3.Connection], Any]) -> Any:
        """What `read` returns, tried again while another process recovers the file."""
        for tries_left in reversed(range(LOCKED_TRIES)):
            connection = self._connections.take()
            try:
                return read(connection)
            except sqlite3.Error as error:
                if not tries_left or not is_locked(error):
                    raise read_error(error, self.path) from error
            finally:
                self._connections.give(connection)
            time.sleep(0.005)
        raise AssertionError("the last try returns or raises")


def open_sqlite(
    path: str | PathLike[str],
    *,
    synchronous: Synchronous = "full",
    check: bool = False,
    clock: Callable[[], float] = time.time,
    sleep: Callable[[float], None] = time.sleep,
    random: Callable[[], float] = random_module.random,
    poll_seconds: float | None = POLL_SECONDS,
) -> Database:
    """Open the embedded database in the file at `path`, and make it where there is none.

    Args:
        path: the file. SQLite keeps its log beside it, so the directory must be writable.
        synchronous: "full": a commit that is acknowledged survives a power failure. "normal": it survives a
            crash of the process; after a power failure the last ones may be missing.
        check: read every page of the file before it is used (`PRAGMA integrity_check`).
        clock: seconds since the epoch; all processes that share the file must agree on it.
        sleep, random: for the delays of `on_error`.
        poll_seconds: how often watches look for commits of other processes; None for never.

    Raises:
        DatabaseError: the file cannot be used; the message says why and what to do.
    """
    store = SqliteStore(path, synchronous=synchronous, check=check, clock=clock, poll_seconds=poll_seconds)
    return Database(store, clock=clock, sleep=sleep, random=random)


def _open_file(path: Path, synchronous: Synchronous, check: bool, clock: Callable[[], float]) -> Connections:
    if not path.exists():
        sqlite_format.create(path, max(1, int(clock() * VERSIONS_PER_SECOND)))
    sqlite_format.require_ours(path)
    connections = Connections(path, synchronous)
    try:
        connection = connections.take()
        try:
            sqlite_format.check(connection, path, full=check)
        finally:
            connections.give(connection)
    except BaseException:
        connections.close()
        raise
    return connections


def _cut(begin: bytes, end: bytes, rows: list[Pair], *, reached: bool, reverse: bool) -> tuple[Pair, bytes, bytes]:
    """The part of a range that a page of rows covers, and the begin and end of what is left of the range."""
    if reached:
        return (begin, end), end, end
    last = rows[-1][0]
    if reverse:
        return (last, end), begin, last
    return (begin, last + b"\0"), last + b"\0", end
