"""Watches on an SQLite file: checked at once after a commit of this process, and by polling for the others.

A poll reads the history rows that are new since the last one, so it costs a few microseconds while nothing
happens. There is a polling thread only while there are watches.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Collection, Iterable
from itertools import chain

from phasm_fdb.embedded.helper_thread import HelperThread
from phasm_fdb.embedded.sqlite_connections import Connections
from phasm_fdb.embedded.sqlite_errors import is_locked, read_error
from phasm_fdb.embedded.sqlite_history import History
from phasm_fdb.embedded.sqlite_rows import Rows
from phasm_fdb.embedded.store import WatchFired
from phasm_fdb.error_codes import TRANSACTION_CANCELLED
from phasm_fdb.errors import DatabaseError, FDBError

POLL_SECONDS = 0.01

_LATEST = "SELECT max(version) FROM history"
_OLDEST = "SELECT min(version) FROM history"
_GET = "SELECT value FROM kv WHERE key = ?"


class SqliteWatch:
    """One watch: `fired` is told when the value at `key` is no longer `value`."""

    __slots__ = ("_watches", "fired", "key", "value")

    def __init__(self, watches: Watches, key: bytes, value: bytes | None, fired: WatchFired) -> None:
        self._watches = watches
        self.key = key
        self.value = value
        self.fired = fired

    def cancel(self) -> None:
        self._watches.remove(self)


class Watches:
    """All watches of one open database.

    Args:
        connections: to the file.
        rows: how values lie in it.
        poll_seconds: how often the polling thread looks for commits of other processes; None for no such
            thread, then somebody else calls `poll`.
    """

    def __init__(self, connections: Connections, rows: Rows, poll_seconds: float | None) -> None:
        self._connections = connections
        self._rows = rows
        self._history = History(rows)
        self._lock = threading.Lock()
        self._watched: dict[bytes, dict[SqliteWatch, None]] = {}
        self._seen = 0
        self._poller = None if poll_seconds is None else HelperThread("phasm-watch", self.poll, poll_seconds)

    def add(self, key: bytes, value: bytes | None, fired: WatchFired) -> SqliteWatch:
        """Register a watch; it fires within this call if the value differs already."""
        watch = SqliteWatch(self, key, value, fired)
        connection = self._connections.take()
        try:
            with self._lock:
                if not self._watched:
                    self._seen = connection.execute(_LATEST).fetchone()[0]
                self._watched.setdefault(key, {})[watch] = None
            # A commit after this point finds the watch; one before it is found by this look.
            changed = self._changed(connection, (key,))
        except sqlite3.Error as error:
            self.remove(watch)
            raise read_error(error, self._connections.path) from error
        finally:
            self._connections.give(connection)
        self._fire(changed, None)
        if self._poller is not None:
            self._poller.wake()
        return watch

    def remove(self, watch: SqliteWatch) -> bool:
        """Forget a watch; False when it has fired, or was removed before."""
        if not self._connections.usable:
            return False  # closed, which has fired them all; or a forked child, where a thread of old may have the lock
        with self._lock:
            same_key = self._watched.get(watch.key, {})
            if watch not in same_key:
                return False
            del same_key[watch]
            if not same_key:
                del self._watched[watch.key]
            return True

    def committed(self, keys: Collection[bytes] | None) -> None:
        """Check the watches of `keys` (all, if None) after a commit of this process."""
        if not self._watched:
            return
        touched = self._touched(keys)
        if not touched:
            return
        connection = self._connections.take()
        try:
            changed = self._changed(connection, touched)
        except sqlite3.Error:
            return  # the commit stands whatever happens here, and the next poll will tell
        finally:
            self._connections.give(connection)
        self._fire(changed, None)

    def poll(self) -> bool:
        """Check the watches of what other processes have committed since the last poll.

        Returns whether there are watches left to poll for.
        """
        if not self._watched:
            return False
        try:
            connection = self._connections.take()
        except DatabaseError:
            return False  # closed meanwhile: `close` tells the watches
        try:
            self._connections.require_file()
            changed = self._poll(connection)
        except sqlite3.Error as error:
            if is_locked(error):
                return True
            self._fire(self._all(), read_error(error, self._connections.path))
            return False
        except FDBError as error:
            self._fire(self._all(), error)
            return False
        finally:
            self._connections.give(connection)
        self._fire(changed, None)
        return bool(self._watched)

    def close(self) -> None:
        """Tell every watch 1025, and end the polling thread."""
        if self._poller is not None:
            self._poller.stop()
        self._fire(self._all(), FDBError(TRANSACTION_CANCELLED))

    def _poll(self, connection: sqlite3.Connection) -> list[SqliteWatch]:
        newer = self._history.newer_undo(connection, self._seen)
        if not newer:
            return []
        # After a long sleep, rows between may be gone: then any key may have changed.
        missed = connection.execute(_OLDEST).fetchone()[0] > self._seen
        touched = [self._touched(None if missed else undo) for _, undo in newer]
        self._seen = newer[-1][0]
        return self._changed(connection, dict.fromkeys(chain.from_iterable(touched)))

    def _touched(self, keys: Collection[bytes] | None) -> list[bytes]:
        """The watched ones of `keys`, in order: whoever waits for several is told in the same order every time."""
        with self._lock:
            return list(self._watched) if keys is None else sorted(key for key in keys if key in self._watched)

    def _changed(self, connection: sqlite3.Connection, keys: Iterable[bytes]) -> list[SqliteWatch]:
        """The watches of `keys` that see another value than theirs, or one that is damaged: a read says what it is."""
        changed: list[SqliteWatch] = []
        for key in keys:
            row = connection.execute(_GET, (key,)).fetchone()
            stored: bytes | None = row[0] if row is not None else None
            with self._lock:
                for watch in self._watched.get(key, ()):
                    expected = None if watch.value is None else self._rows.pack(key, watch.value)
                    if stored != expected:
                        changed.append(watch)
        return changed

    def _all(self) -> list[SqliteWatch]:
        with self._lock:
            return [watch for same_key in self._watched.values() for watch in same_key]

    def _fire(self, watches: Iterable[SqliteWatch], error: FDBError | None) -> None:
        """Tell each watch once, whoever else has found the same change."""
        for watch in watches:
            try:
                if self.remove(watch):
                    watch.fired(error)
            except BaseException:
                watch.fired(error)  # interrupted, perhaps between the two; a second time does no harm
                raise
