"""The last seconds of the database, kept in the file: what was written, and what was there before.

The table `history` has one row for each recent version:

`writes`
    The write conflict keys and ranges of that version's commits. A process that is about to commit reads the
    rows of others that it has not seen, so every process checks conflicts against the same history.
`undo`
    The value before that version of every key that it changed, None where there was none. A reader at an older
    version reads the tables as they are now and puts back what was overwritten since. NULL where that would
    have been too large to keep: versions before it cannot be read any more (1007, which a retry helps).

A row that is older than the window is deleted, except the newest of those: versions from it on can be read. How old it
is, its version tells, which is the time of its commit, unless the clock was set back: then versions go on from the
newest, ahead of the clock, and the age of a row is what the process has seen of it (`Horizon`).
"""

from __future__ import annotations

import sqlite3
import threading
from bisect import bisect_right
from collections import deque
from collections.abc import Collection, Iterator, Mapping, Sequence

import msgpack
from sortedcontainers import SortedDict

from phasm_fdb.embedded.conflicts import ConflictHistory
from phasm_fdb.embedded.sqlite_rows import Pair, Rows, unpack_or_none, version_key
from phasm_fdb.embedded.store import WINDOW_VERSIONS, KeyRange
from phasm_fdb.error_codes import NOT_COMMITTED, TRANSACTION_TOO_OLD
from phasm_fdb.errors import FDBError

Undo = Mapping[bytes, bytes | None]
Writes = tuple[Collection[bytes], Collection[KeyRange]]

_WRITES, _UNDO = b"w", b"u"

_NEWER_WRITES = "SELECT version, writes FROM history WHERE version > ? ORDER BY version"
_NEWER_UNDO = "SELECT version, undo FROM history WHERE version > ? ORDER BY version"
_OLDEST = "SELECT min(version) FROM history"
_FORGET = "DELETE FROM history WHERE version < (SELECT max(version) FROM history WHERE version <= ?)"
_RECORD = "INSERT INTO history (version, writes, undo) VALUES (?, ?, ?)"


class History:
    """Writes and reads the rows of the table.

    A row that is damaged counts as one that was too large to keep: versions before it cannot be read.

    Args:
        rows: how values lie in the file.
    """

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    def record(
        self,
        connection: sqlite3.Connection,
        version: int,
        keys: Collection[bytes],
        ranges: Collection[KeyRange],
        undo: Undo | None,
    ) -> None:
        """Write the row of a new version."""
        writes = self._pack(version, _WRITES, msgpack.packb((list(keys), list(ranges))))
        connection.execute(
            _RECORD, (version, writes, None if undo is None else self._pack(version, _UNDO, msgpack.packb(undo)))
        )

    def newer_writes(self, connection: sqlite3.Connection, version: int) -> Iterator[tuple[int, Writes | None]]:
        """What each version after `version` wrote, as far as conflicts go, oldest first; None where that is lost."""
        for newer, stored in connection.execute(_NEWER_WRITES, (version,)):
            packed = self._unpack(newer, _WRITES, stored)
            if packed != b"":
                yield newer, None if packed is None else msgpack.unpackb(packed, use_list=False)

    def newer_undo(self, connection: sqlite3.Connection, version: int) -> list[tuple[int, Undo | None]]:
        """What each version after `version` changed, oldest first; None where it was too large to keep."""
        found: list[tuple[int, Undo | None]] = []
        for newer, stored in connection.execute(_NEWER_UNDO, (version,)).fetchall():
            packed = self._unpack(newer, _UNDO, stored)
            found.append((newer, msgpack.unpackb(packed) if packed else None if packed is None else {}))
        return found

    def _pack(self, version: int, column: bytes, packed: bytes) -> bytes:
        return self._rows.pack(version_key(version, column), packed)

    def _unpack(self, version: int, column: bytes, stored: bytes | None) -> bytes | None:
        try:
            return unpack_or_none(self._rows, version_key(version, column), stored)
        except FDBError:
            return None


def forget(connection: sqlite3.Connection, horizon: int) -> int:
    """Delete the rows that no transaction of the window needs. Returns the oldest version that can be read now.

    Args:
        horizon: what is later is inside the window.
    """
    connection.execute(_FORGET, (horizon,))
    oldest: int = connection.execute(_OLDEST).fetchone()[0]
    return oldest


class Horizon:
    """Finds how far back the window reaches, also while the clock is behind the versions of the file.

    It remembers what the newest version was at times of the last seconds: whoever reads since then, reads that one or
    a later one.
    """

    def __init__(self) -> None:
        self._seen: deque[tuple[int, int]] = deque()

    def at(self, now: int, newest: int) -> int:
        """The version up to which nothing is inside the window but the newest such version.

        Args:
            now: the time, in versions.
            newest: the newest version in the file.
        """
        if self._seen and now < self._seen[-1][0]:
            self._seen.clear()  # the clock was set back: no time that was noted before can be compared with it
        self._seen.append((now, newest))
        begin = now - WINDOW_VERSIONS
        while len(self._seen) > 1 and self._seen[1][0] <= begin:
            self._seen.popleft()
        noted, version = self._seen[0]
        return max(begin, version) if noted <= begin else begin


class RecentWrites:
    """The write conflicts of the window, in memory, brought up to date before every check.

    Used by one thread at a time, inside a write transaction.
    """

    def __init__(self, history: History) -> None:
        self._history = history
        self._conflicts = ConflictHistory()
        self._seen = 0
        self._first = 0

    def __len__(self) -> int:
        """How many keys are remembered."""
        return len(self._conflicts)

    def catch_up(self, connection: sqlite3.Connection, latest: int) -> None:
        """Take in the commits up to `latest`, the newest version in the file, made by other processes."""
        if latest == self._seen:
            return
        oldest: int = connection.execute(_OLDEST).fetchone()[0]
        if oldest > self._seen:  # versions between were deleted unseen; no transaction of the window has them
            self._first = oldest
        for version, writes in self._history.newer_writes(connection, self._seen):
            if writes is None:
                self._first = version
            else:
                self._conflicts.add(version, *writes)
        self._seen = latest

    def add(self, version: int, keys: Collection[bytes], ranges: Collection[KeyRange]) -> None:
        """Take in a commit of this process."""
        self._conflicts.add(version, keys, ranges)
        self._seen = version

    def check(self, since: int, keys: Collection[bytes], ranges: Collection[KeyRange]) -> int:
        """The error code for a transaction that read these at version `since`: 1020, 1007, or 0 for none."""
        if since < self._first:
            return TRANSACTION_TOO_OLD
        return NOT_COMMITTED if self._conflicts.conflicts(since, keys, ranges) else 0

    def contended(self, since: int, keys: Collection[bytes], ranges: Collection[KeyRange]) -> bytes:
        """Where `check` found a conflict: the least such key, or begin of a range."""
        return self._conflicts.contended(since, keys, ranges)

    def forget(self, oldest: int) -> None:
        """Drop what was written up to the oldest version that can be read; who has read an earlier one is too old."""
        self._first = max(self._first, oldest)
        self._conflicts.forget(oldest)


class OldValues:
    """What keys held before the commits of the window, in memory: filled when a reader is not at the latest
    version, so costs nothing where transactions do not overlap. Any thread may call it.
    """

    def __init__(self, history: History) -> None:
        self._history = history
        self._lock = threading.Lock()
        self._is_loading = False
        self._clear()

    def _clear(self) -> None:
        self._loaded = 0
        self._first = 0
        self._old: SortedDict[bytes, list[tuple[int, bytes | None]]] = SortedDict()
        """For each key the versions that changed it, oldest first, with the value before each."""
        self._by_version: deque[tuple[int, list[bytes]]] = deque()

    def __len__(self) -> int:
        """How many keys are remembered."""
        return len(self._old)

    def value(self, connection: sqlite3.Connection, key: bytes, version: int, current: bytes | None) -> bytes | None:
        """The value of `key` at `version`, given the `current` one, which was read before this call.

        Raises:
            FDBError: 1007.
        """
        with self._lock:
            self._load(connection, version)
            changes = self._old.get(key)
            return current if changes is None else _before(changes, version, current)

    def merge(self, connection: sqlite3.Connection, version: int, span: KeyRange, rows: Sequence[Pair]) -> list[Pair]:
        """All pairs of `span` at `version` in key order, given its current ones, read before this call.

        Raises:
            FDBError: 1007.
        """
        with self._lock:
            self._load(connection, version)
            pairs: dict[bytes, bytes | None] = dict(rows)
            for key in self._old.irange(*span, inclusive=(True, False)):
                pairs[key] = _before(self._old[key], version, pairs.get(key))
        return sorted((key, value) for key, value in pairs.items() if value is not None)

    def _load(self, connection: sqlite3.Connection, version: int) -> None:
        """Take in all versions that are in the file by now, and forget what is not in it any more.

        Reading the current values first and the history after is right, in whatever state either finds the
        file: a change between the two is in the history and is undone by it.
        """
        if self._is_loading:  # an interrupt has left the work half done
            self._clear()
        newer = self._history.newer_undo(connection, self._loaded)
        oldest: int = connection.execute(_OLDEST).fetchone()[0]
        self._is_loading = True
        for changed, undo in newer:
            self._loaded = changed
            if undo is None:
                self._first = changed
                continue
            self._by_version.append((changed, list(undo)))
            for key, value in undo.items():
                self._old.setdefault(key, []).append((changed, value))
        self._forget(oldest)
        self._is_loading = False
        if version < self._first:
            raise FDBError(TRANSACTION_TOO_OLD)

    def _forget(self, oldest: int) -> None:
        while self._by_version and self._by_version[0][0] <= oldest:
            version, keys = self._by_version.popleft()
            for key in keys:
                changes = self._old[key]
                del changes[: bisect_right(changes, version, key=_version)]
                if not changes:
                    del self._old[key]
        self._first = max(self._first, oldest)


def _version(change: tuple[int, bytes | None]) -> int:
    return change[0]


def _before(changes: list[tuple[int, bytes | None]], version: int, current: bytes | None) -> bytes | None:
    """The value at `version`: what the first later change found, or the current value if there is none."""
    index = bisect_right(changes, version, key=_version)
    return changes[index][1] if index < len(changes) else current
