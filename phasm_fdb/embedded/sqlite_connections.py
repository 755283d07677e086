"""The connections to one database file: whoever needs one takes it, and gives it back within the same call.

No connection is held between calls, so no SQLite transaction stays open while an application thinks: the
write-ahead log can always be checkpointed, and a thousand open transactions cost no file descriptors. The one
given back last is taken first, so a single thread reads and writes through one warm page cache.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import weakref
from pathlib import Path
from typing import Literal

from phasm_fdb.embedded.sqlite_errors import missing_file, read_error
from phasm_fdb.embedded.sqlite_format import companions
from phasm_fdb.errors import DatabaseError

Synchronous = Literal["full", "normal"]
"""Whether a commit waits for the disk. `normal` leaves that to the next checkpoint: after a power failure (not
after a crash of the process) the last commits may be missing, all of the later ones and none in part.
"""

OPEN_SECONDS = 5.0
"""How long a new connection waits while another process recovers the log after a crash."""

CACHE_KIB = 16 * 1024
CACHED_STATEMENTS = 64

_open: weakref.WeakSet[Connections] = weakref.WeakSet()
_abandoned: list[sqlite3.Connection] = []
"""Connections inherited by a forked child. Closing one there could drop locks that the parent relies on."""


class Connections:
    """A pool of connections to the file at `path`, which exists and has been checked."""

    def __init__(self, path: Path, synchronous: Synchronous) -> None:
        self.path = path
        self._synchronous = synchronous
        self._idle: list[sqlite3.Connection] = []
        self._unusable = ""
        self._identity = _identity(path)
        # Whoever forgets to close the database should not be told by a ResourceWarning of each connection.
        self._finalizer = weakref.finalize(self, _close_all, self._idle)
        _open.add(self)

    def take(self) -> sqlite3.Connection:
        """A connection that nobody else has, with no transaction open.

        Raises:
            DatabaseError: the database was closed, or this process was forked from the one that opened it.
        """
        if self._unusable:
            raise DatabaseError(self._unusable)
        try:
            return self._idle.pop()
        except IndexError:
            pass
        try:
            return self._connect()
        except sqlite3.Error as error:
            raise read_error(error, self.path) from error

    def give(self, connection: sqlite3.Connection) -> None:
        """Take back a connection; one in which a transaction is still open, or came too late, is closed."""
        if connection.in_transaction or self._unusable:
            connection.close()
        else:
            self._idle.append(connection)
            if self._unusable:  # closed in between
                _close_all(self._idle)

    @property
    def usable(self) -> bool:
        """False once the database was closed, and in a process that was forked from the one that opened it."""
        return not self._unusable

    def require_usable(self) -> None:
        """Raises what `take` would raise, for who has to wait for something before taking one."""
        if self._unusable:
            raise DatabaseError(self._unusable)

    def require_file(self) -> None:
        """Make sure that the path still names the file that was opened.

        SQLite itself would go on writing to a file that has no name any more.

        Raises:
            FDBError: 1511.
        """
        if _identity(self.path) != self._identity:
            raise missing_file(self.path)

    def log_bytes(self) -> int:
        """The length of the write-ahead log."""
        try:
            return companions(self.path)[0].stat().st_size
        except FileNotFoundError:
            return 0

    def close(self) -> None:
        """Close what is idle now, and the rest when it is given back."""
        self._unusable = f"the database {self.path} is closed"
        self._finalizer()

    def _connect(self) -> sqlite3.Connection:
        # mode=rw: a file that was deleted is an error, not a new database.
        connection = sqlite3.connect(
            f"{self.path.as_uri()}?mode=rw",
            uri=True,
            timeout=OPEN_SECONDS,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=CACHED_STATEMENTS,
        )
        for setting in (
            f"synchronous = {self._synchronous}",
            f"cache_size = -{CACHE_KIB}",
            "wal_autocheckpoint = 0",  # see `GroupWriter`, which does it when nobody can commit
            "secure_delete = off",
            "busy_timeout = 0",  # who may wait, and for how long, is decided call by call
        ):
            connection.execute(f"PRAGMA {setting}")
        return connection

    def _abandon(self) -> None:
        self._unusable = (
            f"the database {self.path} was opened before this process was forked: SQLite does not survive a "
            "fork; open it again in the child"
        )
        self._finalizer.detach()
        _abandoned.extend(self._idle)
        self._idle.clear()


def is_open_here(path: Path) -> bool:
    """Whether this process has the file at `path` open.

    If so, nobody here may open and close it by other means than SQLite: closing any descriptor of a file drops
    all of the process's locks on it (https://sqlite.org/howtocorrupt.html, section 2.2).
    """
    identity = _identity(path)
    return any(connections.usable and connections._identity == identity for connections in list(_open))


def _identity(path: Path) -> tuple[int, int] | None:
    """What stays the same while a file exists under its name; None where there is no file."""
    try:
        found = os.stat(path)  # noqa: PTH116 - every snapshot asks, and Path.stat costs a microsecond more
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _close_all(connections: list[sqlite3.Connection]) -> None:
    while connections:
        with contextlib.suppress(sqlite3.Error):
            connections.pop().close()


def _abandon_all() -> None:
    for connections in list(_open):
        connections._abandon()


os.register_at_fork(after_in_child=_abandon_all)
