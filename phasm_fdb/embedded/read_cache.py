"""What a transaction has read of its snapshot so far, and which stretches of keys it therefore knows.

FoundationDB's client keeps it (fdbclient/SnapshotCache.h), and it shows: a key that was read is answered
again when the snapshot is too old to be read, and how a selector that runs backwards is resolved depends on
what is known.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Sequence
from enum import IntEnum
from itertools import islice
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


class _Ordered:
    """What is known, in key order."""

    __slots__ = ("keys", "pairs", "points", "spans")

    def __init__(self) -> None:
        self.spans = IntervalSet()
        self.pairs: dict[bytes, bytes] = {}
        self.keys: list[bytes] = []
        self.points = 0  # how many of the cache's points are in here

    def add(self, rows: Sequence[tuple[bytes, bytes]]) -> None:
        """Take pairs in."""
        fresh = [key for key, _ in rows if key not in self.pairs]
        self.pairs.update(rows)
        if len(fresh) < 8:
            for key in fresh:
                insort(self.keys, key)
        else:
            self.keys = sorted(self.keys + fresh)


class ReadCache:
    """The reads of one transaction. Adding to it is cheap; it is put in order when somebody looks.

    Attributes:
        points: the keys that were read one by one, and their values. Entries may be added, and are never
        changed.
    """

    __slots__ = ("_batches", "_ordered", "points")

    def __init__(self) -> None:
        self.points: dict[bytes, bytes | None] = {}
        self._batches: list[tuple[bytes, bytes, Sequence[tuple[bytes, bytes]]]] = []
        self._ordered: _Ordered | None = None

    def __bool__(self) -> bool:
        return bool(self.points or self._batches or self._ordered is not None)

    def add_range(self, begin: bytes, end: bytes, rows: Sequence[tuple[bytes, bytes]]) -> None:
        """Note that `[begin, end)` has exactly `rows`, in either order."""
        if begin < end:
            self._batches.append((begin, end, rows))

    def has(self, key: bytes) -> bool:
        """Whether the value at `key` is known."""
        return key in self._merged().spans

    def value(self, key: bytes) -> bytes | None:
        """The value at a known key."""
        return self._merged().pairs.get(key)

    def segment(self, key: bytes) -> Segment:
        """The segment that `key` lies in."""
        known = self._merged()
        if key in known.pairs:
            return Segment(key, key_after(key), Known.PAIR)
        index = bisect_right(known.keys, key)
        begin = known.spans.edge_at_or_below(key)
        if index:
            begin = max(begin, min(key_after(known.keys[index - 1]), key))
        end = known.spans.edge_above(key, SPECIAL)
        if index < len(known.keys):
            end = min(end, known.keys[index])
        return Segment(begin, end, Known.EMPTY if begin in known.spans else Known.UNKNOWN)

    def segment_before(self, key: bytes) -> Segment:
        """The segment that the keys just before `key` lie in; `key` is above the empty key."""
        known = self._merged()
        index = bisect_left(known.keys, key)
        begin = known.spans.edge_below(key)
        if index:
            pair = known.keys[index - 1]
            after = key_after(pair)
            begin = max(begin, after if after < key else pair)
        return self.segment(begin)

    def _merged(self) -> _Ordered:
        """Everything that is known so far, in order."""
        known = self._ordered
        if known is None:
            known = self._ordered = _Ordered()
        if len(self.points) > known.points:
            for key, value in islice(self.points.items(), known.points, None):
                known.spans.add(key, key_after(key))
                if value is not None:
                    known.add([(key, value)])
            known.points = len(self.points)
        if self._batches:
            for begin, end, rows in self._batches:
                known.spans.add(begin, end)
                known.add(rows)
            self._batches = []
        return known
