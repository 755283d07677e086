"""A read between two selectors, towards larger keys (getRangeValue in fdbclient/ReadYourWrites)."""

from __future__ import annotations

from bisect import bisect_left

from phasm_fdb.embedded import stored
from phasm_fdb.embedded.found import Found
from phasm_fdb.embedded.lookahead import count_backward, count_forward, skip_forward
from phasm_fdb.embedded.selector import END, SPECIAL, Place, key_after
from phasm_fdb.embedded.selector_base import LOOKAHEAD, SelectorRead
from phasm_fdb.embedded.stored import StoredRows
from phasm_fdb.embedded.view import Kind


class ForwardRead(SelectorRead):
    """The begin moves, the end is where it stops."""

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
            last, clears = skip_forward(self.view, here, end.segment, most + LOOKAHEAD)
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
