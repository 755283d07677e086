"""What a transaction has read of its snapshot so far, and which stretches of keys it therefore knows.

FoundationDB's client keeps it (fdbclient/SnapshotCache.h), and it shows: a key that was read is answered
again when the snapshot is too old to be read, and how a selector that runs backwards is resolved depends on
what is known.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Sequence
from enum import IntEnum
from typing import NamedTuple

from phasm_fdb.embedded.intervals import IntervalSet
from phasm_fdb.embedded.selector import SPECIAL, key_after


class Known(IntEnum):
    """What is known of a key or a stretch of keys."""

    UNKNOWN = 0
    EMPTY = 1
    PAIR = 2


class Segment(NamedTuple):
    """A stretch of keys that are alike: one known pair, or a stretch without any, or an unknown one."""

    begin: bytes
    end: bytes
    known: Known


class ReadCache:
    """The reads of one transaction. Adding to it is cheap; it is put in order when somebody looks."""

    __slots__ = ("_batches", "_known", "_pairs", "_points_merged", "_sorted", "points")

    def __init__(self) -> None:
        self.points: dict[bytes, bytes | None] = {}
        self._points_merged = 0
        self._batches: list[tuple[bytes, bytes, Sequence[tuple[bytes, bytes]]]] = []
        self._known = IntervalSet()
        self._pairs: dict[bytes, bytes] = {}
        self._sorted: list[bytes] = []

    def __bool__(self) -> bool:
        return bool(self.points or self._batches or self._known)

    def add_range(self, begin: bytes, end: bytes, rows: Sequence[tuple[bytes, bytes]]) -> None:
        """Note that `[begin, end)` has exactly `rows`, in either order."""
        if begin < end:
            self._batches.append((begin, end, rows))

    def has(self, key: bytes) -> bool:
        """Whether the value at `key` is known."""
        self._merge()
        return key in self._known

    def value(self, key: bytes) -> bytes | None:
        """The value at a known key."""
        return self._pairs.get(key)

    def segment(self, key: bytes) -> Segment:
        """The segment that `key` lies in."""
        self._merge()
        if key in self._pairs:
            return Segment(key, key_after(key), Known.PAIR)
        index = bisect_right(self._sorted, key)
        begin = max(self._known.edge_at_or_below(key), self._after_pair_below(key, index))
        end = self._known.edge_above(key, SPECIAL)
        if index < len(self._sorted):
            end = min(end, self._sorted[index])
        return Segment(begin, end, Known.EMPTY if begin in self._known else Known.UNKNOWN)

    def segment_before(self, key: bytes) -> Segment:
        """The segment that the keys just before `key` lie in; `key` is above the empty key."""
        self._merge()
        index = bisect_left(self._sorted, key)
        begin = self._known.edge_below(key)
        if index:
            pair = self._sorted[index - 1]
            after = key_after(pair)
            begin = max(begin, after if after < key else pair)
        return self.segment(begin)

    def _after_pair_below(self, key: bytes, index: int) -> bytes:
        if not index:
            return b""
        pair = self._sorted[index - 1]
        return min(key_after(pair), key)

    def _merge(self) -> None:
        """Put what was added in order."""
        if len(self.points) > self._points_merged:
            for key, value in list(self.points.items())[self._points_merged :]:
                self._known.add(key, key_after(key))
                if value is not None:
                    self._add_pairs([(key, value)])
            self._points_merged = len(self.points)
        if self._batches:
            for begin, end, rows in self._batches:
                self._known.add(begin, end)
                self._add_pairs(rows)
            self._batches = []

    def _add_pairs(self, rows: Sequence[tuple[bytes, bytes]]) -> None:
        fresh = [key for key, _ in rows if key not in self._pairs]
        self._pairs.update(rows)
        if len(fresh) < 8:
            for key in fresh:
                insort(self._sorted, key)
        else:
            self._sorted = sorted(self._sorted + fresh)
