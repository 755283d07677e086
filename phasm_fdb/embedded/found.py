"""What one range read found, and the read conflict that follows from it."""

from __future__ import annotations

from dataclasses import dataclass, field

from phasm_fdb.embedded.selector import END, SPECIAL, Place, key_after
from phasm_fdb.embedded.stored import Row


@dataclass(slots=True)
class Found:
    """What one range read found.

    Attributes:
        rows: in the order of the read.
        more: a limit ended the read, so there may be more.
        to_begin: an end of the range ran off the first key.
        through_end: an end of the range ran off the last key.
    """

    rows: list[Row] = field(default_factory=list)
    more: bool = False
    to_begin: bool = False
    through_end: bool = False


def range_conflict(found: Found, begin: Place, end: Place, reverse: bool) -> tuple[bytes, bytes]:
    """The keys whose change would have changed the read: only as far as a limit let it go.

    As fdbclient/ReadYourWrites has it (addConflictRange for both directions).
    """
    low, high = min(begin.key, end.key), max(begin.key, end.key)
    if begin.key < end.key and found.more:
        if not reverse and end.offset > 0:
            high = begin.key
        if reverse and begin.offset <= 1:
            low = end.key
    if found.to_begin and begin.offset <= 0:
        low = b""
    if found.through_end and end.offset > 0:
        high = END
    if found.rows:
        first, last = found.rows[0][0], found.rows[-1][0]
        if reverse:
            low = min(low, last)
            if end.offset > 0 and high <= first:
                high = key_after(first)
        else:
            if begin.offset <= 0:
                low = min(low, first)
            if high <= last:
                high = key_after(last)
    return low, high


def key_conflict(place: Place, key: bytes) -> tuple[bytes, bytes]:
    """The keys whose change would have made a selector name another key than `key`."""
    if place.offset <= 0:
        return key, place.key
    return place.key, key_after(key)


def stored_range_conflict(found: Found, begin: Place, end: Place, reverse: bool) -> tuple[bytes, bytes]:
    """`range_conflict` where a transaction does not read its own writes: FoundationDB has another rule there.

    As fdbclient/NativeAPI has it (getRangeFinished).
    """
    rows, more = found.rows, found.more
    if found.to_begin:
        low = b""
    elif not rows or (begin.offset > 0 and (not reverse or not more or begin.offset > 1)):
        low = begin.key
    else:
        low = rows[-1 if reverse else 0][0]
    if end.offset > begin.offset and end.key < low:
        low = end.key
    if found.through_end:
        high = SPECIAL
    elif not rows or (end.offset <= 1 and (reverse or not more or end.offset <= 0)):
        high = end.key
    else:
        high = key_after(rows[0 if reverse else -1][0])
    if begin.offset < end.offset and begin.key > high:
        high = begin.key
    return low, high
