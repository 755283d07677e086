"""Reads of an SQLite file as it was at a version: as it is now, with what was overwritten since put back.

Every read is its own short SQLite read, on whatever connection is free. The current values are read first and
the history after them; so whatever was committed in between is in the history, and is undone.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from typing import Any

from phasm_fdb.embedded.sqlite_connections import Connections
from phasm_fdb.embedded.sqlite_errors import is_locked, read_error
from phasm_fdb.embedded.sqlite_history import History, OldValues
from phasm_fdb.embedded.sqlite_rows import Pair, Rows, unpack_or_none

LOCKED_TRIES, LOCKED_PAUSE_SECONDS = 1000, 0.005
"""A reader waits five seconds for another process to recover the log: nobody else locks readers out."""

_LATEST = "SELECT max(version) FROM history"
_GET = "SELECT (SELECT value FROM kv WHERE key = ?), (SELECT max(version) FROM history)"
_FORWARD = "SELECT key, value FROM kv WHERE key >= ? AND key < ? ORDER BY key LIMIT ?"
_BACKWARD = "SELECT key, value FROM kv WHERE key >= ? AND key < ? ORDER BY key DESC LIMIT ?"
_SIZE = "SELECT total(length(key) + length(value) - ?) FROM kv WHERE key >= ? AND key < ?"


class Reader:
    """Reads one file; any thread may call it.

    Args:
        connections: to the file.
        rows: how values lie in it.
        sleep: waits for so many seconds; used while another process recovers the file.
    """

    def __init__(self, connections: Connections, rows: Rows, sleep: Callable[[float], None]) -> None:
        self._connections = connections
        self._rows = rows
        self._sleep = sleep
        self._old = OldValues(History(rows))

    def latest(self) -> int:
        """The version of the newest commit."""
        version: int = self.execute(_LATEST, ())[0][0]
        return version

    def current(self, key: bytes) -> tuple[bytes | None, int]:
        """The value of `key` now, and the version of the newest commit."""
        connection = self._connections.take()
        try:
            stored, latest = connection.execute(_GET, (key,)).fetchone()
            return None if stored is None else self._rows.unpack(key, stored), latest
        except sqlite3.Error as error:
            if not is_locked(error):
                raise read_error(error, self._connections.path) from error
        finally:
            self._connections.give(connection)
        stored, latest = self.execute(_GET, (key,))[0]
        return unpack_or_none(self._rows, key, stored), latest

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
            rows: list[Pair] = self._rows.unpack_all(self.execute(statement, (begin, end, wanted)))
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
        return int(self.execute(_SIZE, (self._rows.extra, begin, end))[0][0])

    def _at_version(self, version: int, span: Pair, rows: list[Pair]) -> list[Pair]:
        pairs: list[Pair] = self._patiently(lambda connection: self._old.merge(connection, version, span, rows))
        return pairs

    def execute(self, statement: str, parameters: tuple[Any, ...]) -> list[Any]:
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
                    raise read_error(error, self._connections.path) from error
            finally:
                self._connections.give(connection)
            self._sleep(LOCKED_PAUSE_SECONDS)
        raise AssertionError("the last try returns or raises")


def _cut(begin: bytes, end: bytes, rows: list[Pair], *, reached: bool, reverse: bool) -> tuple[Pair, bytes, bytes]:
    """The part of a range that a page of rows covers, and the begin and end of what is left of the range."""
    if reached:
        return (begin, end), end, end
    last = rows[-1][0]
    if reverse:
        return (last, end), begin, last
    return (begin, last + b"\0"), last + b"\0", end
