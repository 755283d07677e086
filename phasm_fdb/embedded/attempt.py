"""One attempt of a transaction: what it has read and written since it began or was last reset.

Nothing here knows of retries, options or futures: reads return or raise, writes are noted, and `request` is
what a store needs to commit it all.
"""

from __future__ import annotations

from typing import Any

from phasm_fdb.embedded import stored
from phasm_fdb.embedded.found import Found, key_conflict, range_conflict, stored_range_conflict
from phasm_fdb.embedded.intervals import IntervalSet
from phasm_fdb.embedded.limits import Limits
from phasm_fdb.embedded.mutation import CLEAR, CLEAR_RANGE, SET, SET_VERSIONSTAMPED_KEY, Mutation
from phasm_fdb.embedded.read_cache import ReadCache
from phasm_fdb.embedded.selector import END, Place, key_after
from phasm_fdb.embedded.selector_read import get_key, read_range
from phasm_fdb.embedded.span_read import read_span
from phasm_fdb.embedded.store import CommitRequest, Snapshot, Store
from phasm_fdb.embedded.view import View
from phasm_fdb.embedded.write_map import WriteMap, Wrote
from phasm_fdb.error_codes import TRANSACTION_TOO_OLD
from phasm_fdb.errors import FDBError

# The sizes of the structs that FoundationDB counts with every mutation and every conflict range
# (sizeof(MutationRef), sizeof(KeyRangeRef)).
MUTATION_SIZE = 44
RANGE_SIZE = 24
KEY_CONFLICT_SIZE = RANGE_SIZE + 1
"""What a conflict of one key counts besides the key, twice: its end is the key and a zero byte."""

_MISSING: Any = object()


class Attempt:
    """Reads and writes of one attempt.

    Attributes:
        size: FoundationDB's running estimate of the commit's bytes (`get_approximate_size`).
        sees_writes: False for a transaction that does not read its own writes (`read_your_writes_disable`).
        snapshot_reads_see_writes: whether snapshot reads do (`snapshot_ryw_enable` and `_disable` count).
        version: the read version asked for with `set_read_version`.
    """

    __slots__ = (
        "_has_read",
        "_log",
        "_points",
        "_read_keys",
        "_read_ranges",
        "_snapshot",
        "_store",
        "_write_keys",
        "_write_ranges",
        "_writes",
        "bypass_unreadable",
        "cache",
        "sees_writes",
        "size",
        "snapshot_reads_see_writes",
        "version",
    )

    def __init__(self, store: Store) -> None:
        self._store = store
        self._snapshot: Snapshot | None = None
        self._writes: WriteMap | None = None
        self._read_keys: set[bytes] = set()
        self._read_ranges = IntervalSet()
        self._has_read = False  # without read-your-writes, when nothing else tells
        # Only without read-your-writes: the writes as they came, since nothing reads or merges them.
        self._log: list[Mutation] = []
        self._write_keys: set[bytes] = set()
        self._write_ranges: list[tuple[bytes, bytes]] = []
        self.cache = ReadCache()
        self._points = self.cache.points
        self.size = 0
        self.version: int | None = None
        self.sees_writes = True
        self.snapshot_reads_see_writes = 1
        self.bypass_unreadable = False

    # ------------------------------------------------------------------------------------------- snapshot

    def snapshot(self) -> Snapshot:
        """The snapshot that the attempt reads, taken by the first call.

        Raises:
            FDBError: 1007 or 1009 when the version that was asked for is too old, or has not happened yet.
        """
        if self._snapshot is None:
            self._snapshot = self._store.snapshot(self.version)
        return self._snapshot

    @property
    def has_version(self) -> bool:
        """Whether a read version was taken or set."""
        return self._snapshot is not None or self.version is not None

    def read_version(self) -> int:
        """The version that is read: the one that was set, or that of the snapshot.

        Raises:
            FDBError: as `snapshot`.
        """
        return self.snapshot().version if self.version is None else self.version

    @property
    def cached_version(self) -> int:
        """The read version as far as it is known, else 0."""
        if self._snapshot is not None:
            return self._snapshot.version
        return self.version or 0

    def close(self) -> None:
        """Give the snapshot back."""
        if self._snapshot is not None:
            self._snapshot.close()

    @property
    def untouched(self) -> bool:
        """Whether nothing was read of the database or written yet."""
        return not self.cache and self._writes is None and not self._has_read

    # ---------------------------------------------------------------------------------------------- reads

    def get(self, key: bytes, snapshot: bool) -> bytes | None:
        """The value at `key`; a read conflict unless `snapshot`, or unless own writes decide the value."""
        if self._writes is not None or not self.sees_writes:
            return self._get_otherwise(key, snapshot)
        # The case that most reads are: nothing written yet. All of it is here, because calls cost more than
        # work.
        points = self._points
        value: bytes | None = points.get(key, _MISSING)
        if value is _MISSING:
            if self._snapshot is None:
                self._snapshot = self._store.snapshot(self.version)
            try:
                value = points[key] = self._snapshot.get(key)
            except FDBError:
                if not self.cache.has(key):
                    raise
                value = self.cache.value(key)
        if not snapshot:
            self._read_keys.add(key)
            self.size += 2 * len(key) + KEY_CONFLICT_SIZE
        return value

    def _get_otherwise(self, key: bytes, snapshot: bool) -> bytes | None:
        writes = self._writes
        if writes is None:  # own writes are not read
            self._has_read = True
            if not snapshot:
                self._read_keys.add(key)
            return self.snapshot().get(key)
        value = self._view(snapshot).get(key)
        if not snapshot and writes.wrote(key) in (Wrote.NOTHING, Wrote.OPERATIONS):
            self._read_keys.add(key)
            self.size += 2 * len(key) + KEY_CONFLICT_SIZE
        return value

    def stop_seeing_writes(self) -> None:
        """From now on read the database alone.

        FoundationDB keeps read conflicts beside the writes that it merges into reads, and commits without both when
        that is switched off: what was added before is lost (fdbclient/ReadYourWrites, `commit`).
        """
        self.sees_writes = False
        self._read_keys.clear()
        self._read_ranges = IntervalSet()

    def knows(self, key: bytes) -> bool:
        """Whether the value at `key` is known without reading the database."""
        if self._writes is not None and self._writes.wrote(key) in (Wrote.CLEARED, Wrote.VALUE):
            return True
        return key in self.cache.points or self.cache.has(key)

    def get_key(self, place: Place, snapshot: bool) -> bytes:
        """The key that the selector names."""
        if not self.sees_writes:
            self._has_read = True
            key, _ = stored.resolve(self.snapshot(), place)
            if not snapshot:
                self._conflict(*key_conflict(place, key))
            return min(key, END)
        key = self._get_key(self._view(snapshot), place)
        if not snapshot:
            self._conflict(*key_conflict(place, key))
        return key

    def _get_key(self, view: View, place: Place) -> bytes:
        """Selectors one step away need no looking up: they are the first row of a range, or the last."""
        if place.offset not in (0, 1) or place.key > END:
            return get_key(view, place)
        forward = place.offset == 1
        begin, end = (place.key, END) if forward else (b"", place.key)
        found = self._span(view, begin, end, Limits(1), not forward)
        if found.rows:
            return found.rows[0][0]
        return END if forward else b""

    def get_range(self, begin: Place, end: Place, limits: Limits, reverse: bool, snapshot: bool) -> Found:
        """The rows from `begin` to before `end`."""
        if not self.sees_writes:
            return self._get_stored_range(begin, end, limits, reverse, snapshot)
        view = self._view(snapshot)
        if begin.is_key and end.is_key and end.key <= END:
            found = self._span(view, begin.key, end.key, limits, reverse)
        else:
            found = read_range(view, begin, end, limits, reverse)
        if not snapshot:
            self._conflict(*range_conflict(found, begin, end, reverse))
        return found

    def _span(self, view: View, begin: bytes, end: bytes, limits: Limits, reverse: bool) -> Found:
        before = (limits.rows, limits.bytes)
        try:
            return read_span(view, begin, end, limits, reverse)
        except FDBError as error:
            if error.code != TRANSACTION_TOO_OLD or not self.cache:
                raise
        # The snapshot is too old to be read, but what was read before is still known.
        return read_range(view, Place(begin, 1), Place(end, 1), Limits(*before), reverse)

    def _get_stored_range(self, begin: Place, end: Place, limits: Limits, reverse: bool, snapshot: bool) -> Found:
        self._has_read = True
        if reverse and end.offset > 1:
            key, _ = stored.resolve(self.snapshot(), end)
            if not snapshot:
                self._conflict(*key_conflict(end, key))
            end = Place(min(key, END), 1)
        if begin.offset >= end.offset and begin.key >= end.key:
            return Found()
        read = stored.read(self.snapshot(), begin, end, limits, reverse)
        found = Found(read.rows, read.more, read.to_begin)
        if not snapshot:
            self._conflict(*stored_range_conflict(found, begin, end, reverse))
        if found.rows and not reverse and found.rows[-1][0] >= END:
            return Found([row for row in found.rows if row[0] < END])
        return found

    def _view(self, snapshot: bool) -> View:
        hidden = snapshot and self.snapshot_reads_see_writes <= 0
        return View(self.snapshot, self.cache, None if hidden else self._writes, self.bypass_unreadable)

    # ------------------------------------------------------------------------------------------ conflicts

    def add_read_conflict(self, begin: bytes, end: bytes) -> None:
        """Count `[begin, end)` as read, as far as own writes do not decide what is there."""
        self._conflict(begin, end)
        if not self.sees_writes:
            self.size += len(begin) + len(end) + RANGE_SIZE

    def add_write_conflict(self, begin: bytes, end: bytes) -> None:
        """Count `[begin, end)` as written."""
        self.size += len(begin) + len(end) + RANGE_SIZE
        keys, ranges = self._write_conflicts()
        if end == key_after(begin):
            keys.add(begin)
        else:
            ranges.append((begin, end))

    def _conflict(self, low: bytes, high: bytes) -> None:
        if low >= high:
            return
        if not self.sees_writes:
            self._read_ranges.add(low, high)
            return
        size = len(low) + len(high) + RANGE_SIZE
        if self._writes is None:
            self._read_ranges.add(low, high)
            self.size += size
            return
        for begin, end in self._writes.unwritten(low, high):
            self._read_ranges.add(begin, end)
            self.size += size

    def _write_conflicts(self) -> tuple[set[bytes], list[tuple[bytes, bytes]]]:
        if self.sees_writes and self._writes is None:
            self._writes = WriteMap()
        return self._write_keys, self._write_ranges

    # --------------------------------------------------------------------------------------------- writes

    def set(self, key: bytes, value: bytes, conflict: bool) -> None:
        """Write `value` at `key`."""
        length = len(key)
        self.size += length + len(value) + MUTATION_SIZE
        if conflict:
            self._write_keys.add(key)
            self.size += 2 * length + KEY_CONFLICT_SIZE
        if self._writes is not None:
            self._writes.set(key, value)
        elif self.sees_writes:
            self._writes = WriteMap()
            self._writes.set(key, value)
        else:
            self._log.append((SET, key, value))

    def operate(self, code: int, key: bytes, operand: bytes, conflict: bool) -> None:
        """Apply an atomic operation to `key`."""
        self.size += len(key) + len(operand) + MUTATION_SIZE
        self._count_write(key, conflict)
        if self.sees_writes:
            self._written().operate(code, key, operand)
        else:
            self._log.append((code, key, operand))

    def stamp_key(self, key: bytes, lowest: bytes, end: bytes, value: bytes) -> None:
        """Write `value` at what `key` will be after the commit, somewhere in `[lowest, end)`."""
        self.size += len(key) + len(value) + MUTATION_SIZE
        if self.sees_writes:
            self._written().stamp_key(key, lowest, end, value)
        else:
            self._log.append((SET_VERSIONSTAMPED_KEY, key, value))

    def clear(self, key: bytes, conflict: bool) -> None:
        """Clear one key."""
        if self.sees_writes:
            self.size += 2 * len(key) + KEY_CONFLICT_SIZE
            self._count_write(key, conflict)
            self._written().clear(key)
        else:
            if conflict:
                self._write_keys.add(key)
            self._log.append((CLEAR, key, b""))

    def clear_range(self, begin: bytes, end: bytes, conflict: bool) -> None:
        """Clear `[begin, end)`."""
        size = len(begin) + len(end)
        self.size += size + MUTATION_SIZE + (size + RANGE_SIZE if conflict else 0)
        if begin >= end:
            return
        if conflict:
            self._write_ranges.append((begin, end))
        if self.sees_writes:
            self._written().clear_range(begin, end)
        else:
            self._log.append((CLEAR_RANGE, begin, end))

    def _count_write(self, key: bytes, conflict: bool) -> None:
        if conflict:
            self._write_keys.add(key)
            self.size += 2 * len(key) + KEY_CONFLICT_SIZE

    def _written(self) -> WriteMap:
        if self._writes is None:
            self._writes = WriteMap()
        return self._writes

    # ------------------------------------------------------------------------------------------ committing

    def request(self) -> CommitRequest | None:
        """What the store has to commit; None when there is nothing, as only reads were made.

        Raises:
            FDBError: 1007 or 1009 for a read version that was set and cannot be had.
        """
        mutations = self._log if self._writes is None else self._writes.mutations()
        if not mutations and not self._write_keys and not self._write_ranges:
            return None
        return CommitRequest(
            self.snapshot() if self.has_version else None,
            self._read_keys,
            list(self._read_ranges) if self._read_ranges else (),
            self._write_keys,
            self._write_ranges,
            mutations,
        )

    def fits(self, request: CommitRequest, limit: int) -> bool:
        """Whether a commit has at most `limit` bytes, as FoundationDB counts them."""
        # The running estimate is never this far below the count, and most commits are far below the limit.
        if self.sees_writes and 4 * self.size <= limit:
            return True
        return _request_size(request) <= limit


def _request_size(request: CommitRequest) -> int:
    """The bytes of a commit as FoundationDB counts them against the size limit."""
    size = sum(MUTATION_SIZE + len(first) + len(second) for _, first, second in request.mutations)
    size += sum(RANGE_SIZE + len(begin) + len(end) for begin, end in request.read_ranges)
    size += sum(RANGE_SIZE + 2 * len(key) + 1 for key in request.read_keys)
    written = IntervalSet()
    for begin, end in request.write_ranges:
        written.add(begin, end)
    for key in request.write_keys:
        written.add(key, key_after(key))
    return size + sum(RANGE_SIZE + len(begin) + len(end) for begin, end in written)
