"""A transaction that can read back what was written to it, where FoundationDB cannot.

A versionstamped key makes everything that it might become unreadable. With the option `bypass_unreadable` such a place
reads as the database has it, and what the transaction itself had set or cleared there before is not seen
(https://apple.github.io/foundationdb/developer-guide.html#versionstamps). That concerns every row with a versionstamp
in its key that was committed at the version which the transaction reads at, and the last commit often was.
"""

from __future__ import annotations

from typing import Any

from phasm_fdb.database.staged import TransactionReader, decode_count, encode_count

_UNKNOWN: Any = object()


class OwnWrites:
    """The rows that were set and cleared in one transaction, as it would read them."""

    def __init__(self) -> None:
        self._rows: dict[bytes, bytes | None] = {}
        self._cleared: list[tuple[bytes, bytes]] = []

    def find(self, key: bytes) -> Any:
        """The value of a key, None where it was cleared; `_UNKNOWN` where the transaction did not write it."""
        value = self._rows.get(key, _UNKNOWN)
        if value is _UNKNOWN and self._cleared and any(begin <= key < end for begin, end in self._cleared):
            return None
        return value

    def set(self, key: bytes, value: bytes | None) -> None:
        """Note that a key was set, or cleared (None)."""
        self._rows[key] = value

    def clear_range(self, begin: bytes, end: bytes) -> None:
        """Note that the keys of `begin <= key < end` were cleared."""
        for key in [key for key in self._rows if begin <= key < end]:
            del self._rows[key]
        self._cleared.append((begin, end))

    def add(self, key: bytes, param: bytes) -> None:
        """Note that a number was added to a key."""
        value = self.find(key)
        if value is not _UNKNOWN:
            self._rows[key] = encode_count(decode_count(value) + decode_count(param))


class RememberingTransaction(TransactionReader):
    """A transaction whose point reads see its own writes, as far as they went through here.

    Args:
        tr: the transaction.
        own: what is kept of its writes.
    """

    __slots__ = ("_own", "_tr")

    def __init__(self, tr: Any, own: OwnWrites) -> None:
        super().__init__(tr)
        self._tr = tr
        self._own = own

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tr, name)

    # ------------------------------------------------------------------------------------------- reads

    def read(self, key: bytes) -> bytes | None:
        """The value of a key, or None."""
        value = self._own.find(key)
        return super().read(key) if value is _UNKNOWN else value

    def read_many(self, keys: list[bytes]) -> list[bytes | None]:
        """The values of several keys, with all reads in flight together."""
        own = [self._own.find(key) for key in keys]
        found = iter(super().read_many([key for key, value in zip(keys, own, strict=True) if value is _UNKNOWN]))
        return [next(found) if value is _UNKNOWN else value for value in own]

    def known(self, key: bytes) -> tuple[bool, bytes | None]:
        """Whether the value of a key is known without a read, and that value."""
        value = self._own.find(key)
        return (False, None) if value is _UNKNOWN else (True, value)

    # ------------------------------------------------------------------------------------------ writes

    def set(self, key: bytes, value: bytes) -> None:
        """Set a key."""
        self._tr.set(key, value)
        self._own.set(key, value)

    def clear(self, key: bytes) -> None:
        """Remove a key."""
        self._tr.clear(key)
        self._own.set(key, None)

    def clear_range(self, begin: bytes, end: bytes) -> None:
        """Remove all keys of `begin <= key < end`."""
        self._tr.clear_range(begin, end)
        self._own.clear_range(begin, end)

    def add(self, key: bytes, param: bytes) -> None:
        """Add a 64-bit little-endian number to a key's value."""
        self._tr.add(key, param)
        self._own.add(key, param)

    def set_versionstamped_value(self, key: bytes, param: bytes) -> None:
        """Set a key to a value that the commit's versionstamp completes; read back as `param` is."""
        self._tr.set_versionstamped_value(key, param)
        self._own.set(key, param)
