"""A set of keys made of half-open intervals, kept sorted, apart and as few as possible."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator


class IntervalSet:
    """The union of the intervals added, minus those removed. Every operation is O(log n) plus what it
    replaces.
    """

    __slots__ = ("begins", "ends")

    def __init__(self) -> None:
        self.begins: list[bytes] = []
        self.ends: list[bytes] = []

    def __bool__(self) -> bool:
        return bool(self.begins)

    def __iter__(self) -> Iterator[tuple[bytes, bytes]]:
        return zip(self.begins, self.ends, strict=True)

    def __len__(self) -> int:
        return len(self.begins)

    def __contains__(self, key: bytes) -> bool:
        index = bisect_right(self.begins, key) - 1
        return index >= 0 and key < self.ends[index]

    def add(self, begin: bytes, end: bytes) -> None:
        """Add `[begin, end)`; intervals that it touches become one with it."""
        if begin >= end:
            return
        first = bisect_left(self.ends, begin)
        last = bisect_right(self.begins, end)
        if first < last:
            begin = min(begin, self.begins[first])
            end = max(end, self.ends[last - 1])
        self.begins[first:last] = [begin]
        self.ends[first:last] = [end]

    def remove(self, begin: bytes, end: bytes) -> None:
        """Remove `[begin, end)`; an interval that it cuts keeps what is outside."""
        first = bisect_right(self.ends, begin)
        last = bisect_left(self.begins, end)
        if begin >= end or first >= last:
            return
        kept = []
        if self.begins[first] < begin:
            kept.append((self.begins[first], begin))
        if end < self.ends[last - 1]:
            kept.append((end, self.ends[last - 1]))
        self.begins[first:last] = [piece[0] for piece in kept]
        self.ends[first:last] = [piece[1] for piece in kept]

    def within(self, begin: bytes, end: bytes) -> Iterator[tuple[bytes, bytes]]:
        """The parts of the set that lie in `[begin, end)`, in order."""
        index = bisect_right(self.ends, begin)
        while index < len(self.begins) and self.begins[index] < end:
            yield max(begin, self.begins[index]), min(end, self.ends[index])
            index += 1

    def gaps(self, begin: bytes, end: bytes) -> Iterator[tuple[bytes, bytes]]:
        """The parts of `[begin, end)` that are not in the set, in order."""
        for covered, free in self.within(begin, end):
            if begin < covered:
                yield begin, covered
            begin = free
        if begin < end:
            yield begin, end

    def intersects(self, begin: bytes, end: bytes) -> bool:
        """Whether the set has a key in `[begin, end)`."""
        index = bisect_right(self.ends, begin)
        return index < len(self.begins) and self.begins[index] < end

    def edge_at_or_below(self, key: bytes) -> bytes:
        """The last begin or end of an interval at or below `key`; the empty key where there is none."""
        begin = bisect_right(self.begins, key)
        end = bisect_right(self.ends, key)
        return max(self.begins[begin - 1] if begin else b"", self.ends[end - 1] if end else b"")

    def edge_below(self, key: bytes) -> bytes:
        """The last begin or end of an interval below `key`; the empty key where there is none."""
        begin = bisect_left(self.begins, key)
        end = bisect_left(self.ends, key)
        return max(self.begins[begin - 1] if begin else b"", self.ends[end - 1] if end else b"")

    def edge_above(self, key: bytes, default: bytes) -> bytes:
        """The first begin or end of an interval above `key`; `default` where there is none."""
        begin = bisect_right(self.begins, key)
        end = bisect_right(self.ends, key)
        return min(
            self.begins[begin] if begin < len(self.begins) else default,
            self.ends[end] if end < len(self.ends) else default,
        )
