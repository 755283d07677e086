"""How values lie in their rows: bare in a file of format 1, in one of format 2 with a checksum of key and value behind.

SQLite's pages have no checksums of their own, so a bit that the disk or a copy has flipped inside a value is read as if
it had been written. With the checksum it is an error that names the key. What is read is always checked.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol
from zlib import crc32

from phasm_fdb.embedded.sqlite_errors import damaged_row

Pair = tuple[bytes, bytes]

SUM_BYTES = 4

RESIDUE = 0x2144DF1C
"""The CRC-32 of any data with its own CRC-32 behind it, the lowest byte first."""


class Rows(Protocol):
    """The rows of one file.

    Attributes:
        format: the version of the file's format.
        extra: how many bytes a stored value has beyond the value.
    """

    format: int
    extra: int

    def pack(self, key: bytes, value: bytes) -> bytes:
        """A value as it is stored under its key."""
        ...

    def unpack(self, key: bytes, stored: bytes) -> bytes:
        """The value that is stored under a key.

        Raises:
            FDBError: 1522, it is not what was written.
        """
        ...

    def unpack_all(self, pairs: list[Pair]) -> list[Pair]:
        """`unpack` for pairs of keys and stored values."""
        ...


class BareRows:
    """Format 1: what is stored is the value."""

    format = 1
    extra = 0

    def pack(self, key: bytes, value: bytes) -> bytes:
        return value

    def unpack(self, key: bytes, stored: bytes) -> bytes:
        return stored

    def unpack_all(self, pairs: list[Pair]) -> list[Pair]:
        return pairs


class SummedRows:
    """Format 2: a CRC-32 of key and value follows the value.

    Args:
        path: the file, for errors.
    """

    format = 2
    extra = SUM_BYTES

    def __init__(self, path: Path) -> None:
        self._path = path

    def pack(self, key: bytes, value: bytes) -> bytes:
        return value + crc32(key + value).to_bytes(SUM_BYTES, "little")

    def unpack(self, key: bytes, stored: bytes) -> bytes:
        if crc32(key + stored) != RESIDUE:
            raise damaged_row(self._path, key)
        return stored[:-SUM_BYTES]

    def unpack_all(self, pairs: list[Pair]) -> list[Pair]:
        for key, stored in pairs:
            if crc32(key + stored) != RESIDUE:
                raise damaged_row(self._path, key)
        return [(key, stored[:-SUM_BYTES]) for key, stored in pairs]


def version_key(version: int, column: bytes) -> bytes:
    """What stands for the key of a blob of the history: no key of the database begins so."""
    return b"\xff\xff" + column + version.to_bytes(8, "big")


def unpack_or_none(rows: Rows, key: bytes, stored: bytes | None) -> bytes | None:
    """The value under a key; None where nothing is stored."""
    return None if stored is None else rows.unpack(key, stored)
