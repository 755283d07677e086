"""Rows in memory, which a replay writes to instead of a transaction: it says itself what the versionstamps are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from sortedcontainers import SortedDict

from phasm_fdb.database.ranges import Row
from phasm_fdb.database.staged import decode_count, encode_count

STAMP_BYTES = 10


class MemoryRows:
    """Reads as a `Staged` wants it, and takes what one flushes.

    Attributes:
        stamp: ten bytes; completes the versionstamps of what is flushed next.
    """

    def __init__(self, rows: Iterable[Row]) -> None:
        self._rows: SortedDict[bytes, bytes] = SortedDict(rows)
        self.stamp = bytes(STAMP_BYTES)

    def read(self, key: bytes) -> bytes | None:
        """The value of a key, or None."""
        value: bytes | None = self._rows.get(key)
        return value

    def read_many(self, keys: list[bytes]) -> list[bytes | None]:
        """The values of several keys."""
        return [self.read(key) for key in keys]

    def known(self, key: bytes) -> tuple[bool, bytes | None]:
        """Nothing is known without a read, as of a transaction."""
        return False, None

    def rows(self, begin: bytes, end: bytes, limit: int = 0, reverse: bool = False) -> Iterator[Row]:
        """The rows of `begin <= key < end` in key order."""
        for number, key in enumerate(self._rows.irange(begin, end, inclusive=(True, False), reverse=reverse), 1):
            yield key, self._rows[key]
            if number == limit:
                return

    # ------------------------------------------------------------------------------------------- writes

    def set(self, key: bytes, value: bytes) -> None:
        """Set a key."""
        self._rows[key] = value

    def clear(self, key: bytes) -> None:
        """Remove a key."""
        self._rows.pop(key, None)

    def clear_range(self, begin: bytes, end: bytes) -> None:
        """Remove all keys of `begin <= key < end`."""
        for key in list(self._rows.irange(begin, end, inclusive=(True, False))):
            del self._rows[key]

    def add(self, key: bytes, param: bytes) -> None:
        """Add a number of 64 bits."""
        self._rows[key] = encode_count(decode_count(self._rows.get(key)) + decode_count(param))

    def set_versionstamped_key(self, key: bytes, value: bytes) -> None:
        """Set the key that `stamp` completes."""
        key, offset = key[:-4], int.from_bytes(key[-4:], "little")
        self._rows[key[:offset] + self.stamp + key[offset + STAMP_BYTES :]] = value
