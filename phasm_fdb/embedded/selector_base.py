"""What both directions of a selector read share: its two ends, how they are looked up, and its limits."""

from __future__ import annotations

from collections.abc import Callable

from phasm_fdb.embedded.found import Found
from phasm_fdb.embedded.limits import Limits
from phasm_fdb.embedded.selector import END, Place
from phasm_fdb.embedded.view import Kind, Segment, View

_REPLY_BYTES = 80_000
LOOKAHEAD = 100
"""How many segments a read looks ahead beyond the single cleared keys that it may go past."""


class Cursor:
    """One end of the range: a selector, being looked up.

    `key` and `offset` become a nearer equivalent selector whenever more is known; `segment` is where that
    stands; `remaining` is the offset that was left when looking up came to its end.
    """

    __slots__ = ("key", "offset", "remaining", "segment")

    segment: Segment

    def __init__(self, place: Place) -> None:
        self.key, self.offset = place
        self.remaining = self.offset

    @property
    def is_key(self) -> bool:
        return self.offset == 1

    @property
    def place(self) -> Place:
        return Place(self.key, self.offset)


class SelectorRead:
    """A read between two selectors, in either direction.

    Args:
        view: what is read.
        begin, end: the ends, not yet looked up.
        limits: how much may be returned; used up.
        get_key: looks a selector up by a read of its own (`selector_read.get_key`).
    """

    def __init__(
        self,
        view: View,
        begin: Place,
        end: Place,
        limits: Limits,
        get_key: Callable[[View, Place], bytes],
    ) -> None:
        self.view = view
        self._get_key = get_key
        self.begin = Cursor(begin)
        self.end = Cursor(end)
        self.limits = limits
        self.found = Found()
        self.past = 0  # rows seen beyond the limit, which an end below its key needs
        self.extra = 0  # rows to read beyond the limit
        self.requests = 0

    def settle(self, cursor: Cursor) -> None:
        """Look the cursor up as far as what is known goes."""
        settled_before = cursor.is_key
        segment = self._walk(cursor)
        if not settled_before:
            cursor.remaining = cursor.offset
        if segment.settled and cursor.offset != 1:
            if cursor.offset < 1:
                self.found.to_begin = True
                cursor.key = b""
            else:
                self.found.through_end = True
                cursor.key = END
            cursor.offset = 1
        else:
            while not segment.unreadable and segment.kind is Kind.EMPTY and segment.end < END:
                segment = self.view.segment(segment.end)
                cursor.key = segment.begin
        cursor.segment = segment

    def _walk(self, cursor: Cursor) -> Segment:
        """Move the cursor towards offset 1 over what is known; returns the segment where it stops."""
        view = self.view
        segment = view.segment(cursor.key)
        if cursor.offset <= 0 and segment.begin == cursor.key != b"":
            segment = view.segment_before(segment.begin)
        while cursor.offset > 1 and segment.settled and segment.end < END:
            cursor.offset -= segment.kind is Kind.PAIR
            segment = view.segment(segment.end)
            cursor.key = segment.begin
        while cursor.offset < 1 and segment.settled and segment.begin != b"":
            if segment.kind is Kind.PAIR:
                cursor.offset += 1
                if cursor.offset == 1:
                    cursor.key = segment.begin
                    break
            segment = view.segment_before(segment.begin)
            cursor.key = segment.end
        return segment

    def settle_both(self) -> None:
        self.settle(self.begin)
        self.settle(self.end)

    def crossed(self) -> bool:
        """Whether the ends, as far as they are looked up, leave nothing between them."""
        return self.begin.remaining >= self.end.remaining and self.begin.key >= self.end.key

    def meeting(self) -> bool:
        """Whether the begin has come to the end."""
        return self.begin.offset >= self.end.offset and self.begin.key >= self.end.key

    def nothing(self) -> Found:
        return Found(to_begin=self.found.to_begin, through_end=self.found.through_end)

    def look_up(self, cursor: Cursor) -> bytes:
        """The key that the cursor's selector names, by a read of its own."""
        key = self._get_key(self.view, cursor.place)
        self.found.to_begin |= key == b""
        self.found.through_end |= key == END
        return key

    def request_limits(self, least: int) -> Limits:
        """What the next read of the store may return: enough for the limits and for what lies past the end."""
        limits = self.limits
        request = Limits(limits.rows, limits.bytes, max(1 + self.extra, least))
        if limits.rows is not None or limits.bytes == 0:
            request.rows = max(max(1, limits.rows or 0) + self.extra, least)
        if limits.bytes == 0:
            request.bytes = None
        elif limits.bytes is not None:
            request.bytes = min(limits.bytes << min(self.requests, 20), _REPLY_BYTES)
        self.requests += 1
        self.extra = 0
        return request

    @property
    def clear_limit(self) -> int:
        """How many single cleared keys a read may go past: none at first, then more with every request."""
        return 1 << min(self.requests, 20) if self.requests else 0

    def take(self, key: bytes) -> None:
        """Add the pair at `key`, or count it as past the end."""
        value = self.view.pair_value(key)
        if value is None:
            return
        if self.limits.reached:
            self.past += 1
        else:
            self.limits.take(key, value)
            self.found.rows.append((key, value))
