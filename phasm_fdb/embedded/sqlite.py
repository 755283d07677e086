"""The SQLite store: FoundationDB's semantics in one file, shared by threads and processes.

A snapshot is only a number, the version of the newest commit that it sees. Every read is its own short SQLite
read; where the file has moved on since, the values that were overwritten are put back from the history (see
`sqlite_history`). So a transaction that is left open holds nothing in the file, an older read version needs no
special case, and the window of five seconds is enforced by a clock and by what the history still has.
"""

from __future__ import annotations

import os
import random as random_module
import time
from collections.abc import Callable
from os import PathLike
from pathlib import Path
from typing import Any

from phasm_fdb.embedded import sqlite_format
from phasm_fdb.embedded.commit_queue import CommitQueue
from phasm_fdb.embedded.database import Database
from phasm_fdb.embedded.sqlite_commit import GroupWriter
from phasm_fdb.embedded.sqlite_connections import Connections, Synchronous, is_open_here, require_own_locks
from phasm_fdb.embedded.sqlite_fork import forks
from phasm_fdb.embedded.sqlite_reader import Reader
from phasm_fdb.embedded.sqlite_rows import Rows
from phasm_fdb.embedded.sqlite_snapshot import SqliteSnapshot
from phasm_fdb.embedded.sqlite_watch import POLL_SECONDS, SqliteWatch, Watches
from phasm_fdb.embedded.store import (
    VERSIONS_PER_SECOND,
    WINDOW_VERSIONS,
    CommitDone,
    CommitRequest,
    WatchFired,
)
from phasm_fdb.embedded.timing import CallLater, call_in_thread
from phasm_fdb.error_codes import FUTURE_VERSION, TRANSACTION_TOO_OLD
from phasm_fdb.errors import DatabaseError, FDBError

# For a version that is asked for: the newest and the oldest that can be read, and the commit that followed it.
_PLACE = """
    SELECT max(version) + 1,
        coalesce((SELECT max(version) FROM history WHERE version <= ?), min(version)),
        (SELECT min(version) FROM history WHERE version > ?)
    FROM history
"""


class SqliteStore:
    """A store in the file at `path`; see `Store` for the rules of its methods.

    Args:
        path: the file; it is made where there is none.
        synchronous: whether a commit waits for the disk, see `sqlite_connections.Synchronous`.
        check: read the whole file, and all checksums in it, before it is used.
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
        # SQLite keeps the log beside the file itself, by whatever links it was named.
        self.path = Path(os.path.realpath(path))
        self._wall_clock = wall_clock
        self._connections, self._origin, rows = _open_file(self.path, synchronous, check, wall_clock)
        self._reader = Reader(self._connections, rows, sleep)
        self.watches = Watches(self._connections, rows, poll_seconds)
        self._writer = GroupWriter(
            self._connections, rows, now=self._now, committed=self.watches.committed, sleep=sleep
        )
        self._looked_at = self._now()
        """When snapshots looked for the log last. Each looks for the file, which costs a microsecond."""
        self._commits = CommitQueue(self._writer.write, always_waits=synchronous == "full")

    def snapshot(self, version: int | None = None, /) -> SqliteSnapshot:
        self._connections.require_file()
        now = self._now()
        if not 0 <= now - self._looked_at < WINDOW_VERSIONS:  # below 0 if the clock was set back
            self._connections.require_log()
            self._looked_at = now
        if version is None:
            return self._snapshot(None, now)
        newest, oldest, successor = self._reader.execute(_PLACE, (now - WINDOW_VERSIONS, version))[0]
        if version > newest:
            raise FDBError(FUTURE_VERSION)
        if version < oldest:
            raise FDBError(TRANSACTION_TOO_OLD)
        # An older version was the newest one until its successor came.
        superseded = now if successor is None else min(now, successor)
        return self._snapshot(version, superseded)

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

    def _snapshot(self, version: int | None, taken_at: int) -> SqliteSnapshot:
        return SqliteSnapshot(self._reader, self._now, self._read_version, version, taken_at)

    def _now(self) -> int:
        """The time, in versions: what a commit made now would get, if no other had it."""
        return int((self._wall_clock() - self._origin) * VERSIONS_PER_SECOND)

    def _read_version(self, latest: int) -> int:
        """The version of a read that sees the commits up to `latest`.

        On a cluster a commit that is refused takes a version too, and read versions are that one from then on.
        Here the number after `latest` is kept free for that (see `GroupWriter`).
        """
        return latest + 1 if self._writer.refused_at == latest else latest


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
        path: the file, or a symbolic link to it. SQLite keeps its log beside the file, so the directory must be
            writable.
        synchronous: "full": a commit that is acknowledged survives a power failure. "normal": it survives a
            crash of the process; after a power failure the last ones may be missing.
        check: read every page and row of the file before it is used (`PRAGMA integrity_check`, and all checksums).
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
) -> tuple[Connections, float, Rows]:
    """The connections to a file that was checked, the time from which its versions are counted, and how values lie."""
    with forks.opening():
        require_own_locks(path)
        if not is_open_here(path):
            if not path.exists():
                sqlite_format.create(path, wall_clock())
            sqlite_format.require_ours(path)
        connections = Connections(path, synchronous)
    try:
        connection = connections.take()
        try:
            origin, rows = sqlite_format.check(connection, path, full=check)
        finally:
            connections.give(connection)
    except BaseException:
        connections.close()
        raise
    return connections, origin, rows
