"""A read between two selectors, towards smaller keys (getRangeValueBack in fdbclient/ReadYourWrites)."""

from __future__ import annotations

from phasm_fdb.embedded import stored
from phasm_fdb.embedded.found import Found
from phasm_fdb.embedded.lookahead import count_backward, count_forward, skip_backward
from phasm_fdb.embedded.selector import END, SPECIAL, Place, key_after
from phasm_fdb.embedded.selector_base import LOOKAHEAD, SelectorRead
from phasm_fdb.embedded.stored import StoredRows
from phasm_fdb.embedded.view import Kind


class BackwardRead(SelectorRead):
    """The end moves, the begin is where it stops."""

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
            first, clears = skip_backward(self.view, here, begin.segment, most + LOOKAHEAD)
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
