"""Range reads whose ends are selectors to be looked up, on the view of a transaction.

This follows FoundationDB's client step by step (getRangeValue and getRangeValueBack in
fdbclient/ReadYourWrites), because the steps show: which unreadable keys are touched, where a limit ends the
read and whether an end was run off decide errors and conflict ranges. Reads between two plain keys go the
short way of `span_read`.
"""

from __future__ import annotations

from bisect import bisect_left

from phasm_fdb.embedded import stored
from phasm_fdb.embedded.found import Found
from phasm_fdb.embedded.limits import Limits
from phasm_fdb.embedded.lookahead import count_backward, count_forward, skip_backward, skip_forward
from phasm_fdb.embedded.selector import END, SPECIAL, Place, key_after
from phasm_fdb.embedded.stored import StoredRows
from phasm_fdb.embedded.view import Kind, Segment, View

_REPLY_BYTES = 80_000
_LOOKAHEAD = 100


class _Cursor:
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


class _Read:
    """What both directions share: looking up the ends, and noting what was run off."""

    def __init__(self, view: View, begin: Place, end: Place, limits: Limits) -> None:
        self.view = view
        self.begin = _Cursor(begin)
        self.end = _Cursor(end)
        self.limits = limits
        self.found = Found()
        self.past = 0  # rows seen beyond the limit, which an end below its key needs
        self.extra = 0  # rows to read beyond the limit
        self.requests = 0

    def settle(self, cursor: _Cursor) -> None:
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

    def _walk(self, cursor: _Cursor) -> Segment:
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

    def look_up(self, cursor: _Cursor) -> bytes:
        """The key that the cursor's selector names, by a read of its own."""
        key = get_key(self.view, cursor.place)
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


class _Forward(_Read):
    def run(self) -> Found:
        begin, end = self.begin, self.end
        self.settle_both()
        if self.crossed():
            return Found()
        if (begin.is_key and begin.key == END) or (end.is_key and end.key == b""):
            return self.nothing()
        if not end.is_key and begin.key > end.key:
            key = self.look_up(end)
            if begin.key >= key and begin.offset > 0:
                return Found()
            if key == b"":
                return self.nothing()
            self.settle_both()
        while True:
            ended = self._ended()
            if ended is not None:
                return ended
            if self._complete():
                return self._result()
            self._step()

    def _ended(self) -> Found | None:
        """The answer, when the range is known to be empty."""
        begin, end, found = self.begin, self.end, self.found
        if not found.rows and self.crossed():
            return Found()
        if end.offset <= 1 and end.key == b"":
            return self.nothing()
        if self._at_end() or not begin.segment.settled or end.is_key:
            return None
        return self.nothing() if begin.segment.begin > end.segment.begin else None

    def _at_end(self) -> bool:
        return self.meeting() or (self.begin.offset >= 1 and self.begin.key >= END)

    def _complete(self) -> bool:
        """Whether the rows found so far are the answer."""
        begin, end = self.begin, self.end
        here = begin.segment
        enough = self.past >= 1 - end.offset
        if self._at_end():
            if not end.is_key and self.found.rows:
                end.key, end.offset = self.look_up(end), 1
            return True
        if here.settled and here.begin > end.segment.begin:
            return True
        if self.limits.reached and enough:
            return True
        if here.begin == end.segment.begin and (
            here.settled or (begin.offset > 0 and end.is_key and end.key == here.begin)
        ):
            return True
        self.view.check_readable(here)
        if here.kind is Kind.UNKNOWN and self.limits.bytes is not None and not self.limits.least:
            self.found.more = bool(self.found.rows) and enough
        return self.found.more

    def _step(self) -> None:
        here = self.begin.segment
        if here.kind is Kind.UNKNOWN:
            self._read()
            return
        if here.kind is Kind.PAIR:
            self.take(here.begin)
        self.begin.segment = self.view.segment(here.end)

    def _read(self) -> None:
        begin, end = self._begin_to_read, self._end_to_read
        to = end()
        start = begin()
        if to.key < start.key:
            to = Place(start.key, to.offset)
        limits = self.request_limits(2 - start.offset)
        rows = stored.read(self.view.snapshot(), start, to, limits, False)
        self.view.cache.add_range(*_known_forward(rows, start, to), rows.rows)
        self.settle_both()

    def _end_to_read(self) -> Place:
        here, end, most = self.begin.segment, self.end, self.clear_limit
        last, clears = here, 0
        if here.begin < end.segment.begin:
            last, clears = skip_forward(self.view, here, end.segment, most + _LOOKAHEAD)
            clears = min(clears, most)
        if last.begin != end.segment.begin or end.offset < 1:
            self.extra += max(0, 1 - end.offset) + clears
            return Place(last.end if last.begin != end.segment.begin else end.key, 1)
        offset = end.offset
        if offset > 1:
            clears += count_forward(self.view, last, most - clears)
            offset += clears
        self.extra += clears
        return Place(end.key, offset)

    def _begin_to_read(self) -> Place:
        begin = self.begin
        if begin.is_key:
            begin.key = max(begin.key, begin.segment.begin)
            return begin.place
        if begin.offset > 1:
            self.extra += begin.offset - 1
            return Place(begin.key, 1)
        clears = count_backward(self.view, begin.segment, self.clear_limit)
        self.extra += clears
        return Place(begin.key, begin.offset - clears)

    def _result(self) -> Found:
        found = self.found
        found.more = found.more or self.limits.reached
        if self.end.is_key:
            keep = bisect_left(found.rows, self.end.key, key=lambda row: row[0])
            if keep < len(found.rows):
                found.more = False
                del found.rows[keep:]
        found.through_end = found.through_end and not found.more
        return found


class _Backward(_Read):
    def run(self) -> Found:
        begin, end = self.begin, self.end
        self.settle(end)
        self.settle(begin)
        if self.crossed():
            return Found()
        if (begin.is_key and begin.key == END) or (end.is_key and end.key == b""):
            return self.nothing()
        if not begin.is_key and begin.key > end.key:
            key = self.look_up(begin)
            if key >= end.key and end.offset <= 1:
                return Found()
            if key == END:
                return self.nothing()
            self.settle(end)
            self.settle(begin)
        while True:
            ended = self._ended()
            if ended is not None:
                return ended
            if self._complete():
                return self._result()
            if self._step():
                return self._result()

    def _ended(self) -> Found | None:
        """The answer, when the range is known to be empty."""
        begin, here = self.begin, self.end.segment
        if not self.found.rows and self.crossed():
            return Found()
        if begin.offset > 0 and begin.key >= END:
            return self.nothing()
        if self._at_begin() or not self._enough or not here.settled or begin.is_key:
            return None
        return self.nothing() if here.begin < begin.segment.begin else None

    @property
    def _enough(self) -> bool:
        return self.past >= self.begin.offset - 1

    def _at_begin(self) -> bool:
        return self.meeting() or (self.end.offset <= 1 and self.end.key == b"")

    def _complete(self) -> bool:
        """Whether the rows found so far are the answer."""
        begin, end, here = self.begin, self.end, self.end.segment
        if self._at_begin():
            if not begin.is_key and self.found.rows:
                begin.key, begin.offset = self.look_up(begin), 1
            return True
        if self._enough and here.settled and here.begin < begin.segment.begin:
            return True
        if self.limits.reached and self._enough:
            return True
        if end.is_key and end.key == here.begin:
            if self._enough and here.begin == begin.segment.begin:
                return True
            end.segment = here = self.view.segment_before(here.begin)
        self.view.check_readable(here)
        if here.kind is Kind.UNKNOWN and self.limits.bytes is not None:
            self.found.more = bool(self.found.rows) and self._enough
        return self.found.more

    def _step(self) -> bool:
        """Go on by one segment; returns whether that was the last one."""
        here = self.end.segment
        if here.kind is Kind.UNKNOWN:
            self._read()
            return False
        if here.kind is Kind.PAIR:
            self.take(here.begin)
        if here.begin == self.begin.segment.begin:
            return True
        self.end.segment = self.view.segment_before(here.begin)
        return False

    def _read(self) -> None:
        start = self._begin_to_read()
        to = self._end_to_read()
        if start.key > to.key:
            start = Place(to.key, start.offset)
        limits = self.request_limits(to.offset)
        rows = stored.read(self.view.snapshot(), start, to, limits, True)
        self.view.cache.add_range(*_known_backward(rows, start, to), rows.rows)
        self.settle(self.end)
        self.settle(self.begin)

    def _begin_to_read(self) -> Place:
        here, begin, most = self.end.segment, self.begin, self.clear_limit
        first, clears = here, 0
        if here.begin > begin.segment.begin:
            first, clears = skip_backward(self.view, here, begin.segment, most + _LOOKAHEAD)
            clears = min(clears, most)
        if first.begin != begin.segment.begin or begin.offset > 1:
            self.extra += max(0, begin.offset - 1) + clears
            return Place(first.begin if first.begin != begin.segment.begin else begin.key, 1)
        offset = begin.offset
        if offset < 1:
            clears += count_backward(self.view, first, most - clears)
            offset -= clears
        self.extra += clears
        return Place(begin.key, offset)

    def _end_to_read(self) -> Place:
        end = self.end
        if end.is_key:
            end.key = min(end.key, end.segment.end)
            return end.place
        if end.offset < 1:
            self.extra += 1 - end.offset
            return Place(end.key, 1)
        clears = count_forward(self.view, end.segment, self.clear_limit)
        self.extra += clears
        return Place(end.key, end.offset + clears)

    def _result(self) -> Found:
        found = self.found
        found.more = found.more or self.limits.reached
        if self.begin.is_key:
            kept = [row for row in found.rows if row[0] >= self.begin.key]
            if len(kept) < len(found.rows):
                found.more = False
                found.rows = kept
        found.to_begin = found.to_begin and not found.more
        return found


def _known_forward(found: StoredRows, begin: Place, end: Place) -> tuple[bytes, bytes]:
    """The stretch of keys that a forward read of the store has made known."""
    low = begin.key if begin.offset <= 1 else SPECIAL
    high = end.key if not found.more and end.offset >= 1 else b""
    if found.to_begin:
        low = b""
    if found.rows:
        last = found.rows[-1][0]
        low = min(low, found.rows[0][0])
        high = high if not found.more and last < high else key_after(last)
    return low, high


def _known_backward(found: StoredRows, begin: Place, end: Place) -> tuple[bytes, bytes]:
    """The stretch of keys that a backward read of the store has made known."""
    low = begin.key if not found.more and begin.offset <= 1 else SPECIAL
    high = end.key if end.offset >= 1 else b""
    if found.to_begin:
        low = b""
    if found.rows:
        last = found.rows[-1][0]
        low = low if not found.more and last > low else last
        high = max(high, key_after(found.rows[0][0]))
    return low, high


def read_range(view: View, begin: Place, end: Place, limits: Limits, reverse: bool) -> Found:
    """The rows from `begin` to before `end`, up to `limits`, which are used up.

    Raises:
        FDBError: 1036 when the read touches an unreadable key; 1007 when the snapshot is too old.
    """
    read: _Forward | _Backward = (_Backward if reverse else _Forward)(view, begin, end, limits)
    return read.run()


def get_key(view: View, place: Place) -> bytes:
    """The key that a selector names: the empty key before all of them, `b"\\xff"` after all of them.

    Raises:
        FDBError: 1036 when the lookup touches an unreadable key; 1007 when the snapshot is too old.
    """
    if place.offset > 0:
        found = read_range(view, place, Place(END, 1), Limits(1), False)
        if found.to_begin:
            return b""
        return END if found.through_end or not found.rows else found.rows[0][0]
    found = read_range(view, Place(b"", 1), Place(place.key, place.offset + 1), Limits(1), True)
    if found.through_end:
        return END
    return b"" if found.to_begin or not found.rows else found.rows[0][0]
