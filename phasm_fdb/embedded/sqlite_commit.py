"""Writes a group of commits to an SQLite file: checked one by one, applied and made durable together.

Each commit is checked on its own, in the order of the queue, against the history and against those before it
in the group; the ones that pass are one SQLite transaction, with one COMMIT and one fsync. They share a
version, and their order in the group is the batch order of their versionstamps, as on a FoundationDB proxy.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Callable, Collection, Sequence

from phasm_fdb.embedded import sqlite_history
from phasm_fdb.embedded.commit_queue import Afterwards, MustWait, QueuedCommit, decide
from phasm_fdb.embedded.mutation import has_stamps, stamp_all, versionstamp
from phasm_fdb.embedded.sqlite_batch import Batch
from phasm_fdb.embedded.sqlite_connections import Connections
from phasm_fdb.embedded.sqlite_errors import commit_error, is_locked, is_unwritten, write_error
from phasm_fdb.embedded.sqlite_format import PAGE_SIZE
from phasm_fdb.embedded.sqlite_history import History, Horizon, RecentWrites
from phasm_fdb.embedded.sqlite_log import raise_mark
from phasm_fdb.embedded.sqlite_rows import Rows
from phasm_fdb.embedded.store import VERSIONS_PER_SECOND, WINDOW_VERSIONS, Committed, Conflict, KeyRange
from phasm_fdb.error_codes import NOT_COMMITTED, TRANSACTION_CANCELLED, TRANSACTION_TOO_OLD
from phasm_fdb.errors import DatabaseError, FDBError

LOCK_SECONDS = 5.0
"""How long a group waits for another process's write transaction before it fails with 1020."""
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS, PAUSE_GROWTH = 0.0002, 0.005, 1.5

TIDY_VERSIONS = VERSIONS_PER_SECOND
"""How often old history is deleted: rarely enough to cost a commit next to nothing."""

CHECKPOINT_PAGES = 8000
"""When a process has logged about so many pages (32 MB), it copies the log into the file. A longer log copies a
page that was written often only once, and syncs less often; a shorter one recovers faster.
"""

LONG_LOG_BYTES = 4 * CHECKPOINT_PAGES * PAGE_SIZE
"""Readers that overlap without a gap can keep SQLite from starting its log over, so that it grows. A log of this
length is cut off at the first moment without a reader.
"""

_LATEST = "SELECT max(version) FROM history"


class GroupWriter:
    """Writes groups of commits to one file, one group at a time.

    Args:
        connections: to the file.
        rows: how values lie in it.
        now: the time, in versions.
        committed: told after each group which keys changed; None when that is not known.
        sleep: waits for so many seconds; used while another process holds the write lock.
    """

    def __init__(
        self,
        connections: Connections,
        rows: Rows,
        *,
        now: Callable[[], int],
        committed: Callable[[Collection[bytes] | None], None],
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._connections = connections
        self._now = now
        self._committed = committed
        self._sleep = sleep
        self._rows = rows
        self._history = History(rows)
        self._recent: RecentWrites | None = None
        """None while a commit is written, and if that was left by an interrupt: it is read anew from the file then."""
        self._tidied_at = now() - TIDY_VERSIONS  # due at once: processes that end soon would leave it to nobody
        self._horizon = Horizon()
        self.refused_at = 0
        """The newest version in the file when a whole group was refused last."""
        self._companions = connections.companions
        self._marked = -1
        """The generation of the log that this process has marked: its first commit may have begun it."""
        self._pages_logged = self._companions.log_bytes() // PAGE_SIZE
        """About how many pages the log has: what this process found, and what it has added."""

    def write(self, group: Sequence[QueuedCommit], may_wait: bool) -> Afterwards:
        """Decide every commit of the group. What is returned tells `committed` what the group changed.

        Raises:
            MustWait: another process holds the lock, or it is time for a checkpoint, which syncs; and
                `may_wait` is false; nothing was decided.
        """
        if not may_wait and self._pages_logged > CHECKPOINT_PAGES:
            raise MustWait
        touched: list[Collection[bytes] | None] = []
        self._write(group, may_wait, touched)
        return lambda: [self._committed(keys) for keys in touched].clear()

    def _write(self, group: Sequence[QueuedCommit], may_wait: bool, touched: list[Collection[bytes] | None]) -> None:
        try:
            self._connections.require_file()
            connection = self._connections.take()
        except FDBError as error:
            decide(group, error)
            return
        except DatabaseError as error:
            decide(group, FDBError(TRANSACTION_CANCELLED, str(error)))
            return
        try:
            self._begin(connection, may_wait)
            self._companions.require_whole()
            touched.append(self._write_transaction(connection, group))
            if may_wait and self._pages_logged > CHECKPOINT_PAGES:
                self._checkpoint(connection)
        except sqlite3.Error as error:
            self._failed(connection, group, error, touched)
        except FDBError as error:
            self._failed(connection, group, error, touched)
        finally:
            self._connections.give(connection)

    def _begin(self, connection: sqlite3.Connection, may_wait: bool) -> None:
        """Open the write transaction, waiting for those of other processes."""
        waited, pause = 0.0, FIRST_PAUSE_SECONDS
        while True:
            try:
                connection.execute("BEGIN IMMEDIATE")
                return
            except sqlite3.OperationalError as error:
                if not is_locked(error) or waited > LOCK_SECONDS:
                    raise
                if not may_wait:
                    raise MustWait from error
            self._sleep(pause)
            waited += pause
            pause = min(pause * PAUSE_GROWTH, LONGEST_PAUSE_SECONDS)

    def _write_transaction(
        self, connection: sqlite3.Connection, group: Sequence[QueuedCommit]
    ) -> Collection[bytes] | None:
        """Check the group, write what passes and COMMIT. Returns the keys that changed, None if not known."""
        latest: int = connection.execute(_LATEST).fetchone()[0]
        now = self._now()
        version = max(latest + 2, now)  # the one between is the version of what is refused, see `refused_at`
        recent = RecentWrites(self._history) if self._recent is None else self._recent
        self._recent = None
        recent.catch_up(connection, latest)
        batch = Batch(connection, self._rows)
        keys: set[bytes] = set()
        ranges: set[KeyRange] = set()
        passed: list[QueuedCommit] = []
        for entry in group:
            entry.outcome = _refusal(entry, recent, now)
            if entry.outcome is not None:
                continue
            write_keys, write_ranges = _stage(entry, batch, versionstamp(version, len(passed)))
            recent.add(version, write_keys, write_ranges)
            keys.update(write_keys)
            ranges.update(write_ranges)
            passed.append(entry)
        if not passed:
            self.refused_at = latest
            connection.execute("ROLLBACK")
            self._recent = recent
            return ()
        batch.flush()
        self._history.record(connection, version, keys, ranges, batch.undo)
        if not 0 <= now - self._tidied_at < TIDY_VERSIONS:  # below 0 if the clock was set back
            self._tidied_at = now
            recent.forget(sqlite_history.forget(connection, self._horizon.at(now, latest)))
        generation = self._companions.generation
        if self._marked != generation and self._rows.format > 1:
            raise_mark(connection)
        self._commit(connection, passed)
        self._recent = recent
        self._marked = generation
        self._pages_logged += batch.pages()
        for order, entry in enumerate(passed):
            entry.outcome = Committed(version, order)
        return None if batch.undo is None else batch.undo.keys()

    def _commit(self, connection: sqlite3.Connection, passed: Sequence[QueuedCommit]) -> None:
        try:
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            if not is_unwritten(error):
                decide(passed, commit_error(error, self._connections.path))
            raise

    def _checkpoint(self, connection: sqlite3.Connection) -> None:
        """Copy the log into the file, so that it can start over, at a moment when nobody can commit.

        SQLite before 3.51.3 may lose a commit that starts the log over during the second of two checkpoints
        (https://sqlite.org/wal.html#walresetbug). So one connection holds the write lock, which keeps every
        process from that, while another one checkpoints. It waits for no reader.
        """
        other = self._connections.take_another()
        if other is None:
            return
        self._pages_logged = 0
        try:
            with contextlib.suppress(sqlite3.Error):  # the commit is done, and a later one tries again
                self._begin(connection, may_wait=True)
                other.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
                connection.execute("ROLLBACK")
                if self._companions.log_bytes() > LONG_LOG_BYTES:
                    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
                self._mark(connection)
        finally:
            self._connections.give(other)

    def _mark(self, connection: sqlite3.Connection) -> None:
        """Mark the log that begins after a checkpoint, nearly always as its first commit; see `sqlite_log`."""
        if self._rows.format > 1:
            self._begin(connection, may_wait=True)
            raise_mark(connection)
            connection.execute("COMMIT")

    def _failed(
        self,
        connection: sqlite3.Connection,
        group: Sequence[QueuedCommit],
        error: sqlite3.Error | FDBError,
        touched: list[Collection[bytes] | None],
    ) -> None:
        """Decide what is undecided after an error before or in the COMMIT: nothing of it was written."""
        if connection.in_transaction:
            with contextlib.suppress(sqlite3.Error):  # a connection that cannot is closed when given back
                connection.execute("ROLLBACK")
        undecided = [entry for entry in group if entry.outcome is None]
        if len(undecided) > 1 and not (isinstance(error, sqlite3.Error) and is_locked(error)):
            # One commit too large for what room is left must not fail the others.
            for entry in undecided:
                self._write([entry], True, touched)
            return
        decide(undecided, error if isinstance(error, FDBError) else write_error(error, self._connections.path))


def _refusal(entry: QueuedCommit, recent: RecentWrites, now: int) -> FDBError | None:
    """What keeps `entry` from being committed, if anything."""
    request = entry.request
    if request.snapshot is None:
        return None
    if now - entry.taken_at > WINDOW_VERSIONS:
        return FDBError(TRANSACTION_TOO_OLD)
    read = (entry.since, request.read_keys, request.read_ranges)
    code = recent.check(*read)
    if code == NOT_COMMITTED:
        return Conflict(recent.contended(*read))
    return FDBError(code) if code else None


def _stage(entry: QueuedCommit, batch: Batch, stamp: bytes) -> tuple[list[bytes], list[KeyRange]]:
    """Apply a commit that passed. Returns the keys and ranges that it counts as having written."""
    request = entry.request
    mutations, keys = request.mutations, list(request.write_keys)
    if has_stamps(mutations):
        mutations, stamped = stamp_all(mutations, stamp)
        keys += stamped
    batch.apply(mutations)
    return keys, list(request.write_ranges)
