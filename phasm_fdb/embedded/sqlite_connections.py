"""The connections to one database file: whoever needs one takes it, and gives it back within the same call.

No connection is held between calls, so no SQLite transaction stays open while an application thinks: the
write-ahead log can always be checkpointed, and a thousand open transactions cost no file descriptors. The one
given back last is taken first, so a single thread reads and writes through one warm page cache.
"""

from __future__ import annotations

import contextlib
import ctypes
import sqlite3
import threading
import time
import weakref
from pathlib import Path
from typing import Literal

from phasm_fdb.embedded.sqlite_companions import Companions, identity
from phasm_fdb.embedded.sqlite_errors import missing_file, read_error
from phasm_fdb.embedded.sqlite_fork import PAUSE_SECONDS, Identity, forks
from phasm_fdb.embedded.sqlite_format import OPEN_SECONDS
from phasm_fdb.errors import DatabaseError

Synchronous = Literal["full", "normal"]
"""Whether a commit waits for the disk. `normal` leaves that to the next checkpoint: after a power failure (not
after a crash of the process) the last commits may be missing, all of the later ones and none in part.
"""

CACHE_KIB = 16 * 1024
CACHED_STATEMENTS = 64


class Connection(sqlite3.Connection):
    """A connection that can be referred to weakly, as sqlite3's own cannot."""


class _Token:
    """Stands for a connection that is being made."""


class Connections:
    """A pool of connections to the file at `path`, which exists and has been checked.

    Attributes:
        identity: of the file when it was opened.
        companions: the log and its index beside it.
    """

    def __init__(self, path: Path, synchronous: Synchronous) -> None:
        self.path = path
        self._name = str(path)
        self._synchronous = synchronous
        self._idle: list[sqlite3.Connection] = []
        self._all: weakref.WeakSet[object] = weakref.WeakSet()
        """Those that are open: idle, or taken by somebody; and a token for one that is being made. One that was lost
        to an interrupt is closed with the last reference to it.
        """
        self._making = threading.RLock()
        """Held while a connection is made."""
        self._suspended = False
        """Whether a fork is under way, so that none is made; set with `_making` held."""
        self._unusable = ""
        self.identity = identity(self._name)
        self.companions = Companions(path)
        # Whoever forgets to close the database should not be told by a ResourceWarning of each connection.
        self._finalizer = weakref.finalize(self, _close_all, self._idle, self._all, self.companions)
        forks.add(self)

    def take(self) -> sqlite3.Connection:
        """A connection that nobody else has, with no transaction open; the caller must not have one already.

        Raises:
            DatabaseError: the database was closed, or this process was forked from the one that opened it.
        """
        if self._unusable:
            raise DatabaseError(self._unusable)
        try:
            return self._idle.pop()
        except IndexError:
            pass
        while True:
            with self._making:
                if not self._suspended:
                    return self._make()
            time.sleep(PAUSE_SECONDS)

    def take_another(self) -> sqlite3.Connection | None:
        """A second connection for a caller who has one; None while the process is about to fork.

        The fork waits for the first one, so the caller must not wait for the end of the fork.
        """
        with contextlib.suppress(IndexError):
            return self._idle.pop()
        with self._making:
            return None if self._suspended else self._make()

    def give(self, connection: sqlite3.Connection) -> None:
        """Take back a connection; one in which a transaction is still open, or came too late, is closed."""
        if connection.in_transaction or self._unusable:
            _close_all([connection], self._all, self.companions)
        else:
            if not self.companions.are_noted:
                self.companions.note()
            self._idle.append(connection)
            if self._unusable:  # closed in between
                _close_all(self._idle, self._all, self.companions)

    @property
    def usable(self) -> bool:
        """False once the database was closed, and in a process that was forked from the one that opened it."""
        return not self._unusable

    @property
    def is_open(self) -> bool:
        """Whether SQLite has the file open, or may open it any time."""
        return self.usable or len(self._all) > 0

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
        if identity(self._name) != self.identity:
            raise missing_file(self.path)

    def require_log(self) -> None:
        """Make sure that log and index are those that this process has open.

        Raises:
            FDBError: 1511.
        """
        connection = self.take()
        try:
            self.companions.require_same()
        finally:
            self.give(connection)

    def close(self) -> None:
        """Close what is idle now, and the rest when it is given back.

        Raises:
            FDBError: 1511, commits have been lost with the log, and nobody has been told yet.
        """
        self._unusable = f"the database {self.path} is closed"
        self._finalizer()
        if self.companions.untold is not None:
            raise self.companions.untold

    def suspend(self, deadline: float) -> None:
        """Close all connections before a fork; see `sqlite_fork.Pool`."""
        with self._making:
            self._suspended = True
        taken: list[sqlite3.Connection] = []
        while len(taken) < len(self._all):
            try:
                taken.append(self._idle.pop())
                continue
            except IndexError:
                pass
            if time.monotonic() >= deadline:
                self._idle += taken
                return
            time.sleep(PAUSE_SECONDS)
        _close_all(taken, self._all, self.companions)

    def resume(self) -> None:
        """Make connections again after a fork."""
        self._suspended = False

    def abandon(self) -> Identity | None:
        """Refuse all use in a forked child, and leak what is open: to close it there could hang, or harm the parent."""
        self._unusable = (
            f"the database {self.path} was opened before this process was forked, and belongs to its parent; open it "
            "again in the child"
        )
        self._finalizer.detach()
        for left in self._all:
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(left))
        return self.identity if len(self._all) else None

    def _make(self) -> sqlite3.Connection:
        if not len(self._all):
            self.companions.forget()
        token = _Token()
        self._all.add(token)
        try:
            connection = self._connect()
            self._all.add(connection)
            try:
                self._set_up(connection)
            except sqlite3.Error:
                _close_all([connection], self._all, self.companions)
                raise
            return connection
        except sqlite3.Error as error:
            raise read_error(error, self.path) from error
        finally:
            self._all.discard(token)

    def _connect(self) -> sqlite3.Connection:
        # mode=rw: a file that was deleted is an error, not a new database.
        return sqlite3.connect(
            f"{self.path.as_uri()}?mode=rw",
            uri=True,
            timeout=OPEN_SECONDS,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=CACHED_STATEMENTS,
            factory=Connection,
        )

    def _set_up(self, connection: sqlite3.Connection) -> None:
        for setting in (
            f"synchronous = {self._synchronous}",
            f"cache_size = -{CACHE_KIB}",
            "wal_autocheckpoint = 0",  # see `GroupWriter`, which does it when nobody can commit
            "secure_delete = off",
            "busy_timeout = 0",  # who may wait, and for how long, is decided call by call
        ):
            connection.execute(f"PRAGMA {setting}")


def is_open_here(path: Path) -> bool:
    """Whether this process has the file at `path` open.

    If so, nobody here may open and close it by other means than SQLite: closing any descriptor of a file drops
    all of the process's locks on it (https://sqlite.org/howtocorrupt.html, section 2.2).
    """
    return any(pool.is_open for pool in _pools_of(path))


def require_own_locks(path: Path) -> None:
    """Refuse a file of which this process would not hold the locks that it needs.

    Raises:
        DatabaseError: connections to it have come down from the parent, and the locks have not; or it is open here
            under another name, beside which another log lies.
    """
    if identity(str(path)) in forks.inherited:
        raise DatabaseError(
            f"cannot open {path}: it was in use in the parent when this process was forked, and SQLite would rely on "
            "locks that only the parent holds: close it before the fork, or start the process by 'spawn' or "
            "'forkserver'"
        )
    for pool in _pools_of(path):
        if pool.is_open and pool.path != path:
            raise DatabaseError(
                f"cannot open {path}: it is open here as {pool.path}, and the log of a database lies beside one of its "
                "names: use the same everywhere, or close it first"
            )


def _pools_of(path: Path) -> list[Connections]:
    """The pools of this process whose file this is, by whatever name."""
    file = identity(str(path))
    return [pool for pool in forks.pools() if isinstance(pool, Connections) and pool.identity == file is not None]


def _close_all(connections: list[sqlite3.Connection], open_: weakref.WeakSet[object], companions: Companions) -> None:
    keeper = companions.keeper() if connections else None
    while connections:
        connection = connections.pop()
        with contextlib.suppress(sqlite3.Error):
            connection.close()
        open_.discard(connection)
    if keeper is not None:
        keeper.close()
    if not len(open_):
        companions.release()
