"""A transaction's own writes, in the order that reads need: what each key and each stretch between keys
became.

The rules are those of FoundationDB's WriteMap (fdbclient/WriteMap.cpp): an atomic operation on a known
value is computed at once, on an unknown one it waits in a stack; clearing drops what was written below it;
what a versionstamp will decide is *unreadable* until the commit.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator
from enum import IntEnum
from typing import Final, NamedTuple

from phasm_fdb.embedded.intervals import IntervalSet
from phasm_fdb.embedded.mutation import (
    ADD,
    APPEND_IF_FITS,
    ATOMIC,
    BIT_AND,
    BIT_OR,
    BIT_XOR,
    BYTE_MAX,
    BYTE_MIN,
    CLEAR,
    CLEAR_RANGE,
    MAX,
    MIN,
    SET,
    SET_VERSIONSTAMPED_KEY,
    SET_VERSIONSTAMPED_VALUE,
    Mutation,
    apply_atomic,
)
from phasm_fdb.embedded.selector import SPECIAL, key_after
from phasm_fdb.error_codes import OPERATION_FAILED
from phasm_fdb.errors import FDBError


class Wrote(IntEnum):
    """What a transaction did to a key or a stretch of keys."""

    NOTHING = 0
    CLEARED = 1
    VALUE = 2  # known, whatever the database has
    OPERATIONS = 3  # on top of what the database has


class Cleared:
    """The one value of `CLEARED`."""


CLEARED: Final = Cleared()

Stack = list[tuple[int, bytes | None]]
"""Operations on one key, to be applied in order. `(SET, None)` is a key that an operation removed."""

Write = bytes | Cleared | Stack
"""What was written to one key: a value, its clearing, or a stack of operations."""

_ASSOCIATIVE = frozenset((BIT_AND, APPEND_IF_FITS, BYTE_MIN, BYTE_MAX))
_IF_SAME_SIZE = frozenset((ADD, BIT_OR, BIT_XOR, MAX, MIN))
_FEW = 16
"""Of so few writes it is quicker to look at all than to keep their keys sorted."""
_INDEPENDENT = frozenset((SET, SET_VERSIONSTAMPED_KEY, SET_VERSIONSTAMPED_VALUE))


class Segment(NamedTuple):
    """A stretch of keys that all fare alike: one written key, or what lies between two of them."""

    begin: bytes
    end: bytes
    wrote: Wrote
    unreadable: bool


class WriteMap:
    """The writes of one transaction."""

    __slots__ = (
        "_flushed",
        "_fresh",
        "_keys",
        "_stamped",
        "cleared",
        "unreadable",
        "writes",
    )

    def __init__(self) -> None:
        self.writes: dict[bytes, Write] = {}
        self.cleared = IntervalSet()
        self.unreadable = IntervalSet()
        self._keys: list[bytes] = []
        self._fresh: list[bytes] = []
        self._flushed: list[Mutation] = []
        self._stamped: dict[bytes, bytes] = {}

    # ------------------------------------------------------------------------------------------- writing

    def set(self, key: bytes, value: bytes) -> None:
        """Write `value` at `key`."""
        if key not in self.writes:
            self._fresh.append(key)
        elif self.unreadable and key in self.unreadable:
            self._push(key, SET, value)
            return
        self.writes[key] = value

    def operate(self, code: int, key: bytes, operand: bytes) -> None:
        """Apply an atomic operation, or SET_VERSIONSTAMPED_VALUE, to `key`."""
        stamped = code == SET_VERSIONSTAMPED_VALUE
        readable = not self.unreadable or key not in self.unreadable
        written = self.writes.get(key)
        if written is None and not stamped and self.cleared and key in self.cleared:
            written = CLEARED
        if stamped and readable:
            self._put(key, [(code, operand)])
            self.unreadable.add(key, key_after(key))
        elif written is None:
            self._put(key, [(code, operand)])
        elif not readable:
            self._push(key, code, operand)
        else:
            self._put(key, _combine(written, code, operand))

    def stamp_key(self, key: bytes, lowest: bytes, end: bytes, value: bytes) -> None:
        """Write `value` at the key that `key` will be once the commit has put its versionstamp in.

        Until then, `[lowest, end)`, where it may land, is unreadable. What was written there before comes
        first in the commit, and is not read back any more.
        """
        self._flush(lowest, end)
        self.unreadable.add(lowest, end)
        place = lowest + key[len(lowest) :]
        self._stamped[place] = key
        self._put(place, [(SET_VERSIONSTAMPED_KEY, value)])

    def clear(self, key: bytes) -> None:
        """Clear one key."""
        if self.unreadable:
            self.unreadable.remove(key, key_after(key))
        if self.cleared and key in self.cleared:
            self._drop(key, key_after(key))
        else:
            self._put(key, CLEARED)

    def clear_range(self, begin: bytes, end: bytes) -> None:
        """Clear `[begin, end)`."""
        self._drop(begin, end)
        self.cleared.add(begin, end)
        self.unreadable.remove(begin, end)

    # ------------------------------------------------------------------------------------------- reading

    def touches(self, begin: bytes, end: bytes) -> bool:
        """Whether anything in `[begin, end)` was written, cleared or made unreadable."""
        keys = self.keys()
        index = bisect_left(keys, begin)
        return (
            (index < len(keys) and keys[index] < end)
            or self.cleared.intersects(begin, end)
            or self.unreadable.intersects(begin, end)
        )

    def keys(self) -> list[bytes]:
        """The keys with a write of their own, sorted. Not to be changed."""
        if self._fresh:
            if len(self._fresh) < 8:
                for key in self._fresh:
                    insort(self._keys, key)
            else:
                self._keys = sorted(self._keys + self._fresh)
            self._fresh = []
        return self._keys

    def keys_within(self, begin: bytes, end: bytes) -> list[bytes]:
        """The written keys of `[begin, end)`, sorted."""
        if len(self.writes) <= _FEW:
            return sorted([key for key in self.writes if begin <= key < end])
        keys = self.keys()
        return keys[bisect_left(keys, begin) : bisect_left(keys, end)]

    def wrote(self, key: bytes) -> Wrote:
        """What the transaction did to `key`."""
        written = self.writes.get(key)
        if written is None:
            return Wrote.CLEARED if self.cleared and key in self.cleared else Wrote.NOTHING
        if written is CLEARED:
            return Wrote.CLEARED
        if isinstance(written, list) and written[0][0] not in _INDEPENDENT:
            return Wrote.OPERATIONS
        return Wrote.VALUE

    def apply(self, key: bytes, stored: bytes | None) -> bytes | None:
        """The value of `key` when the database has `stored`.

        Raises:
            FDBError: 1000 for an operation on top of a versionstamped value, which has no value yet (only
                possible with `bypass_unreadable`).
        """
        written = self.writes.get(key)
        if written is None:
            return None if key in self.cleared else stored
        if isinstance(written, bytes):
            return written
        if isinstance(written, Cleared):
            return None
        value = stored
        for position, (code, operand) in enumerate(written):
            if code in _INDEPENDENT:
                value = operand
            elif position and written[position - 1][0] == SET_VERSIONSTAMPED_VALUE:
                raise FDBError(OPERATION_FAILED)
            elif operand is not None:
                value = apply_atomic(code, value, operand)
        return value

    def segment(self, key: bytes) -> Segment:
        """The segment that `key` lies in."""
        keys = self.keys()
        below, above = bisect_right(keys, key) - 1, bisect_right(keys, key)
        begin = max(self.cleared.edge_at_or_below(key), self.unreadable.edge_at_or_below(key))
        if below >= 0:
            after = key_after(keys[below])
            begin = max(begin, after if after <= key else keys[below])
        end = keys[above] if above < len(keys) else SPECIAL
        if below >= 0 and keys[below] == key:
            end = key_after(key)
        end = min(end, self.cleared.edge_above(key, end), self.unreadable.edge_above(key, end))
        return self._segment(begin, end)

    def segment_before(self, key: bytes) -> Segment:
        """The segment that the keys just before `key` lie in; `key` is above the empty key."""
        keys = self.keys()
        below = bisect_left(keys, key) - 1
        begin = max(self.cleared.edge_below(key), self.unreadable.edge_below(key))
        if below >= 0:
            after = key_after(keys[below])
            begin = max(begin, after if after < key else keys[below])
        return self.segment(begin)

    def _segment(self, begin: bytes, end: bytes) -> Segment:
        return Segment(begin, end, self.wrote(begin), begin in self.unreadable)

    # ------------------------------------------------------------------------------------------ committing

    def unwritten(self, begin: bytes, end: bytes) -> Iterator[tuple[bytes, bytes]]:
        """The parts of `[begin, end)` whose reading depends on the database, which are its read conflicts."""
        start = begin
        for low, high in self._independent(begin, end):
            if start < low:
                yield start, low
            start = high
        if start < end:
            yield start, end

    def mutations(self) -> list[Mutation]:
        """The writes as mutations: clears of ranges first, as keys may have been written after them."""
        found = list(self._flushed)
        found += [(CLEAR_RANGE, begin, end) for begin, end in self.cleared]
        for key, written in self.writes.items():
            if isinstance(written, bytes):
                found.append((SET, key, written))
            else:
                found += self._as_mutations(key, written)
        return found

    def _independent(self, begin: bytes, end: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Cleared stretches and keys with a known value in `[begin, end)`, in order, not overlapping."""
        known = IntervalSet()
        for low, high in self.cleared.within(begin, end):
            known.add(low, high)
        for key in self.keys_within(begin, end):
            if self.wrote(key) is Wrote.OPERATIONS:
                continue
            known.add(key, key_after(key))
        yield from known

    # --------------------------------------------------------------------------------------------- helpers

    def _put(self, key: bytes, write: Write) -> None:
        if key not in self.writes:
            self._fresh.append(key)
        self.writes[key] = write

    def _push(self, key: bytes, code: int, operand: bytes) -> None:
        """Stack an operation on an unreadable key: nothing can be computed there."""
        written = self.writes.get(key)
        stack: Stack
        if isinstance(written, list):
            stack = written
        elif isinstance(written, bytes):
            stack = [(SET, written)]
        else:
            stack = []
        self._put(key, [*stack, (code, operand)])

    def _drop(self, begin: bytes, end: bytes) -> None:
        keys = self.keys()
        first, last = bisect_left(keys, begin), bisect_left(keys, end)
        for key in keys[first:last]:
            del self.writes[key]
        del keys[first:last]

    def _as_mutations(self, key: bytes, written: Write) -> list[Mutation]:
        if isinstance(written, bytes):
            return [(SET, key, written)]
        if isinstance(written, Cleared):
            return [(CLEAR, key, b"")]
        found: list[Mutation] = []
        for code, operand in written:
            if operand is None:
                found.append((CLEAR, key, b""))
            elif code == SET_VERSIONSTAMPED_KEY:
                found.append((code, self._stamped[key], operand))
            else:
                found.append((code, key, operand))
        return found

    def _flush(self, begin: bytes, end: bytes) -> None:
        """Put the writes of `[begin, end)` at the head of the commit, and forget them as writes to read."""
        if self.cleared:
            self._flushed += [(CLEAR_RANGE, low, high) for low, high in self.cleared.within(begin, end)]
            self.cleared.remove(begin, end)
        written = self.keys_within(begin, end)
        if written:
            for key in written:
                self._flushed += self._as_mutations(key, self.writes[key])
            self._drop(begin, end)


def _combine(written: Write, code: int, operand: bytes) -> Write:
    """What a readable key's write becomes when an atomic operation follows it."""
    if isinstance(written, Cleared):
        value = apply_atomic(code, None, operand)
        return [(SET, None)] if value is None else value
    if isinstance(written, bytes):
        value = apply_atomic(code, written, operand)
        return [(SET, None)] if value is None else value
    last_code, last = written[-1]
    if last_code == SET:
        value = apply_atomic(code, last, operand)
        return [*written[:-1], (SET, None)] if value is None else [*written[:-1], (SET, value)]
    if last_code == code and last is not None:
        same_size = len(last) == len(operand)
        if code in _ASSOCIATIVE or (code in _IF_SAME_SIZE and same_size):
            return [*written[:-1], (code, ATOMIC[code](last, operand))]
    return [*written, (code, operand)]
