"""Reads of the stored data alone, as FoundationDB's inner client answers them (fdbclient/NativeAPI).

No write of the transaction is seen here. FoundationDB's own keys lie above the user's, and selectors that
run off the end of the user's keys land in them: this engine has none, so a row of them is made up (`_system_key`),
because where a selector lands and how many rows were read decide what conflicts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from phasm_fdb.embedded.limits import Limits
from phasm_fdb.embedded.selector import END, Place, key_after
from phasm_fdb.embedded.store import Snapshot

Row = tuple[bytes, bytes]

_FIRST_PAGE, _LAST_PAGE = 32, 2048


_SYSTEM_PREFIX = b"\xff/"
_SYSTEM_KEYS = 1000
_SYSTEM_ROWS = 16
"""How many of the made-up rows one read returns, unless it has to return more."""


def _system_key(index: int) -> bytes:
    return _SYSTEM_PREFIX + index.to_bytes(8, "big")


@dataclass(slots=True)
class StoredRows:
    """What one read of stored rows found.

    Attributes:
        rows: in the order of the read.
        more: a limit ended the read.
        to_begin: a selector ran off the beginning of all keys.
    """

    rows: list[Row]
    more: bool = False
    to_begin: bool = False


def pages(
    snapshot: Snapshot, begin: bytes, end: bytes, reverse: bool, first: int = _FIRST_PAGE
) -> Iterator[tuple[Sequence[Row], bytes, bytes]]:
    """The rows of `[begin, end)` in growing pages, fetched as they are asked for, and the span of each
    page.
    """
    size = first
    while begin < end:
        rows = snapshot.range(begin, end, size, reverse)
        if len(rows) < size:
            yield rows, begin, end
            return
        if reverse:
            yield rows, rows[-1][0], end
            end = rows[-1][0]
        else:
            after = key_after(rows[-1][0])
            yield rows, begin, after
            begin = after
        size = min(max(size * 4, _FIRST_PAGE), _LAST_PAGE)


def resolve(snapshot: Snapshot, place: Place) -> tuple[bytes, bool]:
    """The key that a place names, and whether it ran off the beginning (then the key is the empty one)."""
    key, offset = place
    if offset >= 1:
        rows = snapshot.range(key, END, offset, False) if key < END else ()
        if len(rows) >= offset:
            return rows[offset - 1][0], False
        return _system_key(min(offset - len(rows) - 1, _SYSTEM_KEYS)), False
    count = 1 - offset
    rows = snapshot.range(b"", min(key, END), count, True) if key else ()
    return (rows[count - 1][0], False) if len(rows) >= count else (b"", True)


def read(snapshot: Snapshot, begin: Place, end: Place, limits: Limits, reverse: bool) -> StoredRows:
    """The rows from `begin` to before `end`, up to `limits` (which it uses up)."""
    found = StoredRows([], to_begin=begin.key == b"" and begin.offset < 1)
    if end.key == b"" and end.offset <= 1:
        return found
    low, low_ran_off = (begin.key, False) if begin.is_key or found.to_begin else resolve(snapshot, begin)
    high, high_ran_off = (end.key, False) if end.is_key else resolve(snapshot, end)
    if low >= high:
        return StoredRows([], to_begin=found.to_begin and not high_ran_off)
    if reverse:
        _add_system_rows(found, low, high, limits, True)
    if not found.more:
        _fill(found, _user_rows(snapshot, low, high, reverse, limits.rows), limits)
    if not reverse:
        _add_system_rows(found, low, high, limits, False)
    if low_ran_off and low == b"" and not (reverse and found.more):
        found.to_begin = True
    return found


def _fill(found: StoredRows, rows: Iterator[Row], limits: Limits) -> None:
    for row in rows:
        found.rows.append(row)
        limits.take(*row)
        if limits.reached:
            found.more = True
            return


def _user_rows(snapshot: Snapshot, low: bytes, high: bytes, reverse: bool, wanted: int | None) -> Iterator[Row]:
    first = _FIRST_PAGE if wanted is None else min(wanted, _LAST_PAGE)
    for page, _, _ in pages(snapshot, low, min(high, END), reverse, first):
        yield from page


def _add_system_rows(found: StoredRows, low: bytes, high: bytes, limits: Limits, reverse: bool) -> None:
    """Go on with the made-up rows of `[low, high)`; a few are as good as all, and `more` says that there are more.

    Not fewer than the read is to return at least: a reverse read that begins `offset` keys past a key asks for that
    many, to come to the key itself.
    """
    if high <= END or found.more:
        return
    numbers = range(_system_index(low), _system_index(high))
    some = (numbers[::-1] if reverse else numbers)[: max(_SYSTEM_ROWS, limits.least)]
    _fill(found, ((_system_key(number), b"") for number in some), limits)
    found.more = found.more or len(numbers) > len(some)


def _system_index(key: bytes) -> int:
    """The number of the first system key at or above `key`."""
    if key <= _system_key(0):
        return 0
    if not key.startswith(_SYSTEM_PREFIX):
        return _SYSTEM_KEYS
    number = int.from_bytes(key[2:10].ljust(8, b"\0"), "big")
    return number + (key > _system_key(number))
