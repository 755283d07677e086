"""The SQLite store: FoundationDB's semantics in one file, shared by threads and processes.

A snapshot is only a number, the version of the newest commit that it sees. Every read is its own short SQLite
read; where the file has moved on since, the values that were overwritten are put back from the history (see
`sqlite_history`). So a transaction that is left open holds nothing in the file, an older read version needs no
special case, and the window of five seconds is enforced by a clock and by what the history still has.
"""

from __future__ import annotations

import random as random_module
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from phasm_fdb.embedded import sqlite_format
from phasm_fdb.embedded.commit_queue import CommitQueue
from phasm_fdb.embedded.database import Database
from phasm_fdb.embedded.sqlite_commit import GroupWriter
from phasm_fdb.embedded.sqlite_connections import Connections, Synchronous, is_open_here
from phasm_fdb.embedded.sqlite_errors import is_locked, read_error
from phasm_fdb.embedded.sqlite_history import OldValues
from phasm_fdb.embedded.sqlite_watch import POLL_SECONDS, SqliteWatch, Watches
from phasm_fdb.embedded.store import (
    VERSIONS_PER_SECOND,
    WINDOW_VERSIONS,
    CommitDone,
    CommitRequest,
    WatchFired,
)
from phasm_fdb.embedded.timing import CallLater, call_in_thread
from phasm_fdb.errors import DatabaseError, FDBError

TRANSACTION_TOO_OLD = 1007
FUTURE_VERSION = 1009

LOCKED_TRIES, LOCKED_PAUSE_SECONDS = 1000, 0.005
"""A reader waits five seconds for another process to recover the log: nobody else locks readers out."""

_LATEST = "SELECT max(version) FROM history"
_GET = "SELECT (SELECT value FROM kv WHERE key = ?), (SELECT max(version) FROM history)"
_FORWARD = "SELECT key, value FROM kv WHERE key >= ? AND key < ? ORDER BY key LIMIT ?"
_BACKWARD = "SELECT key, value FROM kv WHERE key >= ? AND key < ? ORDER BY key DESC LIMIT ?"
_SIZE = "SELECT total(length(key) + length(value)) FROM kv WHERE key >= ? AND key < ?"
# For a version that is asked for: the newest and the oldest that can be read, and the commit that followed it.
_PLACE = """
    SELECT max(version) + 1,
        coalesce((SELECT max(version) FROM history WHERE version <= ?), min(version)),
        (SELECT min(version) FROM history WHERE version > ?)
    FROM history
"""

Pair = tuple[bytes, bytes]


_opening = threading.Lock()
"""Held from the look at whether this process has a file open until it has: see `is_open_here`."""


class SqliteSnapshot:
    """The database at one version; see `Snapshot` of the store's protocol.

    A new snapshot has no version until one is needed: the first `get` finds it in the statement that reads the
    value, and saves a statement for every transaction.
    """

    __slots__ = ("_resolving", "_store", "_version", "taken_at")

    def __init__(self, store: SqliteStore, version: int | None, taken_at: int) -> None:
        self._store = store
        self._version = version
        self._resolving = threading.Lock()
        self.taken_at = taken_at
        """When the five seconds began, in versions."""

    @property
    def version(self) -> int:
        if self._version is None:
            with self._resolving:
                if self._version is None:
                    self._version = self._store.read_version(self._store.latest())
        return self._version

    def get(self, key: bytes, /) -> bytes | None:
        store = self._store
        store.require_young(self)
        if self._version is None:
            with self._resolving:
                if self._version is None:
                    value, latest = store.current(key)
                    self._version = store.read_version(latest)
                    return value
        value, latest = store.current(key)
        return value if latest <= self._version else store.old_value(self._version, key, value)

    def range(self, begin: bytes, end: bytes, limit: int, reverse: bool, /) -> Sequence[Pair]:
        self._store.require_young(self)
        return self._store.range(self.version, begin, end, limit, reverse)

    def size(self, begin: bytes, end: bytes, /) -> int:
        self._store.require_young(self)
        return self._store.size(begin, end)

    def close(self) -> None:
        """Nothing is held."""


class SqliteStore:
    """A store in the file at `path`; see `Store` for the rules of its methods.

    Args:
        path: the file; it is made where there is none.
        synchronous: whether a commit waits for the disk, see `sqlite_connections.Synchronous`.
        check: read the whole file before it is used.
        poll_seconds: how often watches look for commits of other processes; None for never.
        wall_clock: seconds since the epoch; all processes that share the file must agree on it.
        sleep: waits for so many seconds; used while another process holds a lock.

    Raises:
        DatabaseError: the file cannot be used as it is, or where it is; the message says what to do.
    """

    def __init__(
        self,
        path: str | PathLike[str],
        *,
        synchronous: Synchronous = "full",
        check: bool = False,
        poll_seconds: float | None = POLL_SECONDS,
        wall_clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        if synchronous not in ("full", "normal"):
            raise DatabaseError(f"synchronous must be 'full' or 'normal', not {synchronous!r}")
        self.path = Path(path).absolute()
        self._wall_clock = wall_clock
        self._sleep = sleep
        self._connections, self._origin = _open_file(self.path, synchronous, check, wall_clock)
        self._old = OldValues()
        self.watches = Watches(self._connections, poll_seconds)
        self._writer = GroupWriter(self._connections, now=self._now, committed=self.watches.committed, sleep=sleep)
        self._commits = CommitQueue(self._writer.write, always_waits=synchronous == "full")

    def snapshot(self, version: int | None = None, /) -> SqliteSnapshot:
        self._connections.require_file()
        now = self._now()
        if version is None:
            return SqliteSnapshot(self, None, now)
        newest, oldest, successor = self._execute(_PLACE, (now - WINDOW_VERSIONS, version))[0]
        if version > newest:
            raise FDBError(FUTURE_VERSION)
        if version < oldest:
            raise FDBError(TRANSACTION_TOO_OLD)
        # An older version was the newest one until its successor came.
        superseded = now if successor is None else min(now, successor)
        return SqliteSnapshot(self, version, superseded)

    def commit(self, request: CommitRequest, done: CommitDone, /) -> None:
        self._connections.require_usable()
        snapshot: Any = request.snapshot
        if snapshot is None:
            self._commits.commit(request, 0, 0, done)
        else:
            self._commits.commit(request, snapshot.version, snapshot.taken_at, done)

    def help_commit(self) -> None:
        """Nothing to do: a thread that may block for its commit has done so within `commit`."""

    def watch(self, key: bytes, value: bytes | None, fired: WatchFired, /) -> SqliteWatch:
        return self.watches.add(key, value, fired)

    def close(self) -> None:
        if not self._connections.usable:
            return
        self._commits.close()
        self.watches.close()
        self._connections.close()

    def _now(self) -> int:
        """The time, in versions: what a commit made now would get, if no other had it."""
        return int((self._wall_clock() - self._origin) * VERSIONS_PER_SECOND)

    # ------------------------------------------------------------------------------- for the snapshots

    def require_young(self, snapshot: SqliteSnapshot) -> None:
        """Raises 1007 for a snapshot that was taken longer ago than the window."""
        if self._now() - snapshot.taken_at > WINDOW_VERSIONS:
            raise FDBError(TRANSACTION_TOO_OLD)

    def latest(self) -> int:
        """The version of the newest commit."""
        version: int = self._execute(_LATEST, ())[0][0]
        return version

    def read_version(self, latest: int) -> int:
        """The version of a read that sees the commits up to `latest`.

        On a cluster a commit that is refused takes a version too, and read versions are that one from then on.
        Here the number after `latest` is kept free for that (see `GroupWriter`).
        """
        return latest + 1 if self._writer.refused_at == latest else latest

    def current(self, key: bytes) -> tuple[bytes | None, int]:
        """The value of `key` now, and the version of the newest commit."""
        connection = self._connections.take()
        try:
            found: tuple[bytes | None, int] = connection.execute(_GET, (key,)).fetchone()
            return found
        except sqlite3.Error as error:
            if not is_locked(error):
                raise read_error(error, self.path) from error
        finally:
            self._connections.give(connection)
        value, latest = self._execute(_GET, (key,))[0]
        return value, latest

    def old_value(self, version: int, key: bytes, current: bytes | None) -> bytes | None:
        """The value of `key` at an older version; `current` was read before this call."""
        value: bytes | None = self._patiently(lambda connection: self._old.value(connection, key, version, current))
        return value

    def range(self, version: int, begin: bytes, end: bytes, limit: int, reverse: bool) -> Sequence[Pair]:
        """The first (with `reverse`: last) `limit` pairs of `[begin, end)` at `version`."""
        statement = _BACKWARD if reverse else _FORWARD
        found: list[Pair] = []
        while begin < end and len(found) < limit:
            wanted = limit - len(found)
            rows: list[Pair] = self._execute(statement, (begin, end, wanted))
            # This is read after the rows: if there is no newer commit now, there was none then.
            if self.latest() <= version:
                return found + rows
            # The rows say how far they reach: to the last one, or, being too few, to the end.
            span, begin, end = _cut(begin, end, rows, reached=len(rows) < wanted, reverse=reverse)
            pairs = self._at_version(version, span, rows)
            found += reversed(pairs) if reverse else pairs
        return found[:limit]

    def size(self, begin: bytes, end: bytes) -> int:
        """The bytes in `[begin, end)` as they are now: an estimate of what they were."""
        return int(self._execute(_SIZE, (begin, end))[0][0])

    def _at_version(self, version: int, span: Pair, rows: list[Pair]) -> list[Pair]:
        pairs: list[Pair] = self._patiently(lambda connection: self._old.merge(connection, version, span, rows))
        return pairs

    def _execute(self, statement: str, parameters: tuple[Any, ...]) -> list[Any]:
        """All rows of one statement, which is one consistent read of the file."""
        rows: list[Any] = self._patiently(lambda connection: connection.execute(statement, parameters).fetchall())
        return rows

    def _patiently(self, read: Callable[[sqlite3.Connection], Any]) -> Any:
        """What `read` returns, tried again while another process recovers the file after a crash."""
        for tries_left in reversed(range(LOCKED_TRIES)):
            connection = self._connections.take()
            try:
                return read(connection)
            except sqlite3.Error as error:
                if not tries_left or not is_locked(error):
                    raise read_error(error, self.path) from error
            finally:
                self._connections.give(connection)
            self._sleep(LOCKED_PAUSE_SECONDS)
        raise AssertionError("the last try returns or raises")


def open_sqlite(
    path: str | PathLike[str],
    *,
    synchronous: Synchronous = "full",
    check: bool = False,
    poll_seconds: float | None = POLL_SECONDS,
    wall_clock: Callable[[], float] = time.time,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
    random: Callable[[], float] = random_module.random,
    call_later: CallLater = call_in_thread,
) -> Database:
    """Open the embedded database in the file at `path`, and make it where there is none.

    Args:
        path: the file. SQLite keeps its log beside it, so the directory must be writable.
        synchronous: "full": a commit that is acknowledged survives a power failure. "normal": it survives a
            crash of the process; after a power failure the last ones may be missing.
        check: read every page of the file before it is used (`PRAGMA integrity_check`).
        poll_seconds: how often watches look for commits of other processes; None for never.
        wall_clock: seconds since the epoch; versions and the five-second window follow it, so all processes
            that share the file must agree on it.
        clock, sleep, random, call_later: for timeouts and the delays of retries, as in `open_memory`; `sleep`
            also waits where another process holds a lock.

    Raises:
        DatabaseError: the file cannot be used; the message says why and what to do.
    """
    store = SqliteStore(
        path, synchronous=synchronous, check=check, poll_seconds=poll_seconds, wall_clock=wall_clock, sleep=sleep
    )
    return Database(store, clock=clock, sleep=sleep, random=random, call_later=call_later)


def _open_file(
    path: Path, synchronous: Synchronous, check: bool, wall_clock: Callable[[], float]
) -> tuple[Connections, float]:
    """The connections to a file that was checked, and the time from which its versions are counted."""
    with _opening:
        if not is_open_here(path):
            if not path.exists():
                sqlite_format.create(path, wall_clock())
            sqlite_format.require_ours(path)
        connections = Connections(path, synchronous)
    try:
        connection = connections.take()
        try:
            origin = sqlite_format.check(connection, path, full=check)
        finally:
            connections.give(connection)
    except BaseException:
        connections.close()
        raise
    return connections, origin


def _cut(begin: bytes, end: bytes, rows: list[Pair], *, reached: bool, reverse: bool) -> tuple[Pair, bytes, bytes]:
    """The part of a range that a page of rows covers, and the begin and end of what is left of the range."""
    if reached:
        return (begin, end), end, end
    last = rows[-1][0]
    if reverse:
        return (last, end), begin, last
    return (begin, last + b"\0"), last + b"\0", end
