"""Range reads between two plain keys: nearly all reads. Rows of the store, with the transaction's writes
merged in.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from phasm_fdb.embedded import stored
from phasm_fdb.embedded.found import Found
from phasm_fdb.embedded.limits import Limits
from phasm_fdb.embedded.stored import Row
from phasm_fdb.embedded.view import View
from phasm_fdb.embedded.write_map import WriteMap
from phasm_fdb.error_codes import ACCESSED_UNREADABLE
from phasm_fdb.errors import FDBError

_LARGEST_PAGE = 1024
_SMALL_ROW = 32
"""Bytes that most rows have at least: a page for a byte limit need not have more rows."""


def read_span(view: View, begin: bytes, end: bytes, limits: Limits, reverse: bool) -> Found:
    """The rows of `[begin, end)` as the view has them, up to `limits`, which are used up.

    Raises:
        FDBError: 1036 when the read comes to an unreadable key; 1007 when the snapshot is too old.
    """
    found = Found()
    if begin >= end:
        return found
    writes = view.writes
    if writes is None or not writes.touches(begin, end):
        for page in _stored_pages(view, [(begin, end)], limits, reverse):
            taken = limits.take_many(page)
            found.rows += page[:taken]
            if limits.reached:
                found.more = True
                break
        return found
    for row in _merged(view, writes, begin, end, limits, reverse):
        found.rows.append(row)
        limits.take(*row)
        if limits.reached:
            found.more = True
            break
    return found


def _stored_pages(
    view: View, spans: list[tuple[bytes, bytes]], limits: Limits, reverse: bool
) -> Iterator[Sequence[Row]]:
    """The rows of the store in `spans`, which are in the order of the read; each page becomes known."""
    first = _LARGEST_PAGE if limits.rows is None else min(limits.rows, _LARGEST_PAGE)
    if limits.bytes is not None:
        first = min(first, limits.bytes // _SMALL_ROW + 1)
    for begin, end in spans:
        for page, low, high in stored.pages(view.snapshot(), begin, end, reverse, first):
            view.cache.add_range(low, high, page)
            yield page


def _stored_rows(view: View, spans: list[tuple[bytes, bytes]], limits: Limits, reverse: bool) -> Iterator[Row]:
    for page in _stored_pages(view, spans, limits, reverse):
        yield from page


def _merged(view: View, writes: WriteMap, begin: bytes, end: bytes, limits: Limits, reverse: bool) -> Iterator[Row]:
    """The rows with the writes on top, up to the first unreadable key, where it raises."""
    barred = False
    if writes.unreadable:
        for low, high in writes.unreadable.within(begin, end):
            barred = True
            if not reverse:
                end = low
                break
            begin = high
    spans = list(writes.cleared.gaps(begin, end))
    own = writes.keys_within(begin, end)
    if reverse:
        spans.reverse()
        own.reverse()
    yield from _overlay(writes, own, _stored_rows(view, spans, limits, reverse), reverse)
    if barred:
        raise FDBError(ACCESSED_UNREADABLE)


def _overlay(writes: WriteMap, own: list[bytes], rows: Iterator[Row], reverse: bool) -> Iterator[Row]:
    """Merge written keys and stored rows, both in the order of the read; a written key wins."""
    row = next(rows, None)
    for key in own:
        while row is not None and (row[0] > key if reverse else row[0] < key):
            yield row
            row = next(rows, None)
        below = None
        if row is not None and row[0] == key:
            below = row[1]
            row = next(rows, None)
        value = writes.apply(key, below)
        if value is not None:
            yield key, value
    while row is not None:
        yield row
        row = next(rows, None)
