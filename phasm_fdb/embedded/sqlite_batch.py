"""The mutations of one or more commits, applied in order inside one SQLite write transaction.

Single keys are collected and written together at the end; a range is cleared on the spot, after what was
collected before it. The values that were there before are remembered on the way: they are the new version's
undo (see `sqlite_history`).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from phasm_fdb.embedded.mutation import CLEAR, CLEAR_RANGE, SET, Mutation, apply_atomic
from phasm_fdb.embedded.sqlite_format import PAGE_SIZE
from phasm_fdb.embedded.sqlite_rows import Rows, unpack_or_none
from phasm_fdb.errors import FDBError

UNDO_BYTES = 16 * 1024 * 1024
"""The most that the undo of one version may take. Clearing a larger range does not keep what it cleared."""

GET_TOGETHER = 8
"""How many values one statement reads: asking for them one by one would cost more than finding them."""

ROWS_A_PAGE = 20
"""A guess, for `Batch.pages`: rows of a cleared range lie side by side."""

_ONE = "(SELECT value FROM kv WHERE key = ?)"
_GET = ["SELECT " + ", ".join([_ONE] * count) for count in range(1, GET_TOGETHER + 1)]
_SET = "REPLACE INTO kv (key, value) VALUES (?, ?)"
_CLEAR = "DELETE FROM kv WHERE key = ?"
_RANGE = "SELECT key, value FROM kv WHERE key >= ? AND key < ?"
_CLEAR_RANGE = "DELETE FROM kv WHERE key >= ? AND key < ?"


class Batch:
    """Collects the changes of one version. `connection` has a write transaction open.

    Args:
        rows: how values lie in the file.

    Attributes:
        undo: the value before this version of every key that it changed, None where there was none; None
            altogether once that has outgrown `UNDO_BYTES`, or a damaged value was overwritten.
    """

    def __init__(self, connection: sqlite3.Connection, rows: Rows) -> None:
        self._connection = connection
        self._rows = rows
        self._changes: dict[bytes, bytes | None] = {}
        self._flushed = False
        self._touched = 0
        self._undo_bytes = 0
        self._written_bytes = 0
        self.undo: dict[bytes, bytes | None] | None = {}

    def apply(self, mutations: Sequence[Mutation]) -> None:
        """Apply the mutations of one commit; versionstamps are in place already."""
        self._remember_all({key for code, key, _ in mutations if code != CLEAR_RANGE})
        changes = self._changes
        for code, key, parameter in mutations:
            if code == SET:
                changes[key] = parameter
            elif code == CLEAR:
                changes[key] = None
            elif code == CLEAR_RANGE:
                self._clear_range(key, parameter)
            else:
                old = changes[key] if key in changes else self._stored(key)
                changes[key] = apply_atomic(code, old, parameter)

    def flush(self) -> None:
        """Write what was collected."""
        changes = self._changes
        pack = self._rows.pack
        kept = [(key, pack(key, value)) for key, value in changes.items() if value is not None]
        self._touched += len(changes)
        self._written_bytes += sum(len(value) for _, value in kept)
        if kept:
            self._connection.executemany(_SET, kept)
        if len(kept) < len(changes):
            self._connection.executemany(_CLEAR, [(key,) for key in changes if changes[key] is None])
        changes.clear()
        self._flushed = True

    def pages(self) -> int:
        """About how many pages of the file these changes have written: one a key, and what large values take."""
        return self._touched + (self._undo_bytes + self._written_bytes) // PAGE_SIZE + 2

    def _stored(self, key: bytes) -> bytes | None:
        """The value of a key that is not among the collected changes; raises 1522 if it is damaged."""
        if not self._flushed and self.undo is not None:
            return self.undo[key]
        return unpack_or_none(self._rows, key, self._connection.execute(_GET[0], (key,)).fetchone()[0])

    def _clear_range(self, begin: bytes, end: bytes) -> None:
        self.flush()
        for key, stored in self._connection.execute(_RANGE, (begin, end)):
            self._remember(key, stored)
            if self.undo is None:
                break
        self._touched += self._connection.execute(_CLEAR_RANGE, (begin, end)).rowcount // ROWS_A_PAGE

    def _remember_all(self, keys: set[bytes]) -> None:
        """Remember what is stored at keys that are about to change, unless an earlier change has done so.

        A key that was in a range cleared before has been remembered there, or was absent then as it is now.
        """
        if self.undo is None:
            return
        new = [key for key in keys if key not in self.undo]
        for start in range(0, len(new), GET_TOGETHER):
            some = new[start : start + GET_TOGETHER]
            values = self._connection.execute(_GET[len(some) - 1], some).fetchone()
            for key, stored in zip(some, values, strict=True):
                self._remember(key, stored)

    def _remember(self, key: bytes, stored: bytes | None) -> None:
        if self.undo is None or key in self.undo:
            return
        try:
            value = unpack_or_none(self._rows, key, stored)
        except FDBError:
            self.undo = None  # who overwrites a damaged value mends it; nobody can read what was there before
            return
        self.undo[key] = value
        self._undo_bytes += len(key) + (len(value) if value is not None else 0)
        if self._undo_bytes > UNDO_BYTES:
            self.undo = None
