"""Staged writes: what a transition writes, held back until it has succeeded.

A `Staged` lies over a transaction, or over another `Staged`. Reads see its writes first; `flush` hands them all
down at once. So a rejected transition leaves no trace in a transaction that is not its own, several inputs can
share one transaction, and invariants are checked on a state that is not yet written.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterable, Iterator
from operator import itemgetter
from typing import Any

from phasm_fdb.database.ranges import Row, rows
from phasm_fdb.database.waiting import wait
from phasm_fdb.errors import ReadOnlyError

_UNKNOWN: Any = object()


class TransactionReader:
    """How a `Staged` reads a transaction, or its `snapshot`."""

    __slots__ = ("_get", "_reader")

    def __init__(self, reader: Any) -> None:
        self._reader = reader
        self._get = reader.get

    def read(self, key: bytes) -> bytes | None:
        """The value of a key, or None."""
        value: bytes | None = wait(self._get(key))
        return value

    def read_many(self, keys: list[bytes]) -> list[bytes | None]:
        """The values of several keys, with all reads in flight together."""
        return [wait(future) for future in [self._get(key) for key in keys]]

    def start(self, key: bytes) -> Any:
        """Send the read of a key and return its future, for `wait`."""
        return self._get(key)

    def known(self, key: bytes) -> tuple[bool, bytes | None]:
        """Nothing is known without a read."""
        return False, None

    def rows(self, begin: bytes, end: bytes, limit: int = 0, reverse: bool = False) -> Iterator[Row]:
        """The rows of a range, as `ranges.rows` gives them."""
        return rows(self._reader, begin, end, limit, reverse)


class Staged:
    """A read-your-writes view over `base`, which sees nothing of it until `flush`.

    Args:
        base: a transaction, its `snapshot`, another `Staged`, or anything else that reads as `TransactionReader` does.
        read_only: refuse writes, naming this as the place they came from.

    Attributes:
        is_flushed: whether it was handed down; what is not was dropped, or may be yet.
    """

    __slots__ = (
        "_adds",
        "_base",
        "_cleared",
        "_conflicts",
        "_read_only",
        "_reads",
        "_stamped",
        "_stamped_values",
        "_started",
        "_writes",
        "exclusive",
        "is_flushed",
    )

    def __init__(self, base: Any, read_only: str = "") -> None:
        self._base = base if hasattr(base, "rows") else TransactionReader(base)
        self.exclusive = False
        self.is_flushed = False
        self._read_only = read_only
        self._reads: dict[bytes, bytes | None] = {}
        self._started: dict[bytes, Any] = {}
        self._writes: dict[bytes, bytes | None] = {}
        self._adds: dict[bytes, int] = {}
        self._stamped: dict[bytes, bytes] = {}  # with the four bytes that say where the versionstamp goes
        self._stamped_values: set[bytes] = set()  # the keys whose value holds the versionstamp, and where it goes
        self._cleared: list[tuple[bytes, bytes]] = []
        self._conflicts: list[tuple[bytes, bytes]] = []

    # ------------------------------------------------------------------------------------------- reads

    def read(self, key: bytes) -> bytes | None:
        """The value of a key, or None."""
        value = self._local(key)
        if value is _UNKNOWN:
            started = self._started.pop(key, None) if self._started else None
            value = self._reads[key] = self._base.read(key) if started is None else wait(started)
        return self._with_add(key, value) if self._adds else value

    def start(self, key: bytes) -> bool:
        """Send the read of a key that is going to be read; False if its value is known, or nothing is sent here."""
        base = self._base
        if not isinstance(base, TransactionReader) or self._local(key) is not _UNKNOWN or base.known(key)[0]:
            return False
        self._started[key] = base.start(key)
        return True

    def read_many(self, keys: Iterable[bytes]) -> list[bytes | None]:
        """The values of several keys, with all reads in flight together."""
        keys = list(keys)
        missing = [key for key in keys if self._local(key) is _UNKNOWN]
        if missing:
            found = self._base.read_many(missing)
            self._reads.update(zip(missing, found, strict=True))
            if len(missing) == len(keys) and not self._adds:
                return found
        return [self.read(key) for key in keys] if self._adds else [self._local(key) for key in keys]

    def known(self, key: bytes) -> tuple[bool, bytes | None]:
        """Whether the value of a key is known here without a read, and that value."""
        value = self._local(key)
        if value is _UNKNOWN:
            return self._base.known(key)
        return True, value

    def rows(self, begin: bytes, end: bytes, limit: int = 0, reverse: bool = False) -> Iterator[Row]:
        """The rows of `begin <= key < end` in key order; at most `limit` of them, if that is not 0.

        Writes made while iterating are not seen by the iteration.
        """
        staged = self._staged_between(begin, end)
        hidden = [span for span in self._cleared if span[0] < end and begin < span[1]]
        if not staged and not hidden:
            return self._base.rows(begin, end, limit, reverse)
        return self._merged(begin, end, limit, reverse, staged, hidden)

    def _local(self, key: bytes) -> bytes | Any | None:
        """What is known of a key here, without adds; `_UNKNOWN` if it has to be read."""
        value = self._writes.get(key, _UNKNOWN)
        if value is _UNKNOWN:
            value = self._reads.get(key, _UNKNOWN)
            if value is _UNKNOWN and self._cleared and any(begin <= key < end for begin, end in self._cleared):
                return None
        return value

    def _with_add(self, key: bytes, value: bytes | None) -> bytes | None:
        if key not in self._adds:
            return value
        return encode_count(decode_count(value) + self._adds[key])

    def _staged_between(self, begin: bytes, end: bytes) -> dict[bytes, bytes | None]:
        staged = {key: value for key, value in self._writes.items() if begin <= key < end}
        for key in self._adds:
            if begin <= key < end:
                staged[key] = self.read(key)
        return staged

    def _merged(
        self,
        begin: bytes,
        end: bytes,
        limit: int,
        reverse: bool,
        staged: dict[bytes, bytes | None],
        hidden: list[tuple[bytes, bytes]],
    ) -> Iterator[Row]:
        below = (
            row
            for row in self._base.rows(begin, end, 0, reverse)
            if row[0] not in staged and not any(first <= row[0] < last for first, last in hidden)
        )
        mine = sorted(((key, value) for key, value in staged.items() if value is not None), reverse=reverse)
        merged = heapq.merge(below, mine, key=itemgetter(0), reverse=reverse)
        return itertools.islice(merged, limit) if limit else merged

    # ------------------------------------------------------------------------------------------ writes

    def set(self, key: bytes, value: bytes) -> None:
        """Set a key."""
        if self._read_only:
            self._refuse()
        if self._adds:
            self._adds.pop(key, None)
        if self._stamped_values:
            self._stamped_values.discard(key)
        self._writes[key] = value

    def clear(self, key: bytes) -> None:
        """Remove a key."""
        if self._read_only:
            self._refuse()
        self._adds.pop(key, None)
        self._stamped_values.discard(key)
        self._writes[key] = None

    def clear_range(self, begin: bytes, end: bytes) -> None:
        """Remove all keys of `begin <= key < end`."""
        if self._read_only:
            self._refuse()
        for kept in (self._writes, self._adds, self._reads, self._stamped):
            for key in [key for key in kept if begin <= key < end]:
                del kept[key]
        self._stamped_values -= {key for key in self._stamped_values if begin <= key < end}
        self._cleared.append((begin, end))

    def add(self, key: bytes, param: bytes) -> None:
        """Add a 64-bit little-endian number to a key's value, without reading it."""
        if self._read_only:
            self._refuse()
        if key in self._writes or (self._cleared and any(begin <= key < end for begin, end in self._cleared)):
            self._writes[key] = encode_count(decode_count(self._local(key)) + decode_count(param))
        else:
            self._adds[key] = self._adds.get(key, 0) + decode_count(param)

    def set_versionstamped_key(self, key: bytes, param: bytes) -> None:
        """Set the key that the commit's versionstamp completes; as in FoundationDB, its last 4 bytes are the offset.

        Until the flush it is read back under the key with ten 0xff bytes in the versionstamp's place, which sorts
        after all that is committed.
        """
        if self._read_only:
            self._refuse()
        row = key[:-4]
        self._writes[row] = param
        self._stamped[row] = key[-4:]

    def set_versionstamped_value(self, key: bytes, param: bytes) -> None:
        """Set a key to a value that the commit's versionstamp completes.

        Until the commit it is read back as `param` is: with ten 0xff bytes in the versionstamp's place, and the offset
        at its end. A FoundationDB transaction reads it back the same, under the option `bypass_unreadable`.
        """
        self.set(key, param)
        self._stamped_values.add(key)

    def add_read_conflict_range(self, begin: bytes, end: bytes) -> None:
        """Let the commit fail if anything in `begin <= key < end` was written since the read version."""
        self._conflicts.append((begin, end))

    def flush(self, target: Any) -> None:
        """Hand all writes down to `target`, a transaction or another `Staged`; this view is used up then.

        If `exclusive` was set, every plain write of a key that was not read conflicts as if it had been, so that no
        other such commit of the same version can have written it too (see `phasm_fdb.cache`).
        """
        self.is_flushed = True
        for begin, end in self._conflicts:
            target.add_read_conflict_range(begin, end)
        if self.exclusive:
            self._conflict_on_writes(target)
        for begin, end in self._cleared:
            target.clear_range(begin, end)
        for key, delta in self._adds.items():
            target.add(key, encode_count(delta))
        stamped, stamped_values = self._stamped, self._stamped_values
        for key, value in self._writes.items():
            if value is None:
                target.clear(key)
            elif key in stamped:
                target.set_versionstamped_key(key + stamped[key], value)
            elif key in stamped_values:
                target.set_versionstamped_value(key, value)
            else:
                target.set(key, value)

    def _conflict_on_writes(self, target: Any) -> None:
        if isinstance(target, Staged):
            target.exclusive = True
            return
        for begin, end in self._cleared:
            target.add_read_conflict_range(begin, end)
        for key in self._writes:
            if key not in self._reads and key not in self._stamped and key not in self._stamped_values:
                target.add_read_conflict_key(key)

    def written(self) -> dict[bytes, bytes | None]:
        """The keys that were set, with their values, or cleared (None), one by one."""
        return self._writes

    def added(self) -> dict[bytes, int]:
        """What was added to keys that were not read for it."""
        return self._adds

    def written_keys(self) -> list[bytes]:
        """The keys that were set, cleared or added to, in the order of their first write."""
        return [*self._writes, *self._adds]

    def cleared_ranges(self) -> list[tuple[bytes, bytes]]:
        """The ranges that were cleared, in order."""
        return list(self._cleared)

    def _refuse(self) -> None:
        raise ReadOnlyError(f"the state was written in {self._read_only}, where it may only be read")


def encode_count(number: int) -> bytes:
    """A number as FoundationDB's `add` reads it: 64 bits, little-endian, wrapping around as `add` does."""
    return (number & 0xFFFFFFFFFFFFFFFF).to_bytes(8, "little")


def decode_count(data: bytes | None) -> int:
    """The number of such bytes; 0 for a key that is not there."""
    return 0 if data is None else int.from_bytes(data, "little", signed=True)
