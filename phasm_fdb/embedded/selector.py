"""Key selectors and rows: how a range read is asked for and what it gives, in the binding's shapes."""

from __future__ import annotations

from typing import Any, NamedTuple

END = b"\xff"
"""The first key that an ordinary transaction may not touch; every user key is below it."""

METADATA_VERSION = b"\xff/metadataVersion"
"""The one key above `END` that every transaction may read, and may set to its versionstamp; a new database has none."""

SPECIAL = b"\xff\xff"
"""The first of FoundationDB's special keys, and the end of everything that is stored."""


class KeyValue(NamedTuple):
    """One row of a range read."""

    key: bytes
    value: bytes


class KeySelector:
    """A key described by its neighbours: the last key below `key`, then `offset` keys further.

    Args:
        key: where to start.
        or_equal: start from the last key at or below `key` instead.
        offset: how many keys to move on; may be negative.
    """

    __slots__ = ("key", "offset", "or_equal")

    def __init__(self, key: Any, or_equal: bool, offset: int) -> None:
        self.key = key
        self.or_equal = or_equal
        self.offset = offset

    @classmethod
    def last_less_than(cls, key: Any) -> KeySelector:
        return cls(key, False, 0)

    @classmethod
    def last_less_or_equal(cls, key: Any) -> KeySelector:
        return cls(key, True, 0)

    @classmethod
    def first_greater_than(cls, key: Any) -> KeySelector:
        return cls(key, True, 1)

    @classmethod
    def first_greater_or_equal(cls, key: Any) -> KeySelector:
        return cls(key, False, 1)

    def __add__(self, offset: int) -> KeySelector:
        return KeySelector(self.key, self.or_equal, self.offset + offset)

    def __sub__(self, offset: int) -> KeySelector:
        return KeySelector(self.key, self.or_equal, self.offset - offset)

    def __repr__(self) -> str:
        return f"KeySelector({self.key!r}, {self.or_equal!r}, {self.offset!r})"


class Place(NamedTuple):
    """A selector in the one form that the reads work on: `offset` 1 is the first key at or above `key`."""

    key: bytes
    offset: int

    @property
    def is_key(self) -> bool:
        """Whether the place needs no looking up: it is wherever the first key at or above `key` is."""
        return self.offset == 1


def key_after(key: bytes) -> bytes:
    """The smallest key above `key`."""
    return key + b"\0"


def key_bytes(key: Any) -> bytes:
    """`key` as bytes: the binding takes bytes and whatever has `as_foundationdb_key`.

    Raises:
        TypeError: `key` is neither.
    """
    if type(key) is bytes:
        return key
    if hasattr(key, "as_foundationdb_key"):
        key = key.as_foundationdb_key()
    if not isinstance(key, bytes):
        raise TypeError(f"a key must be bytes, not {type(key).__name__}")
    return key


def value_bytes(value: Any) -> bytes:
    """`value` as bytes: the binding takes bytes and whatever has `as_foundationdb_value`.

    Raises:
        TypeError: `value` is neither.
    """
    if type(value) is bytes:
        return value
    if hasattr(value, "as_foundationdb_value"):
        value = value.as_foundationdb_value()
    if not isinstance(value, bytes):
        raise TypeError(f"a value must be bytes, not {type(value).__name__}")
    return value


def place_of(selector: KeySelector) -> Place:
    """The selector with `or_equal` moved into its key."""
    key = key_bytes(selector.key)
    if selector.or_equal and key != SPECIAL:
        key = key_after(key)
    return Place(key, selector.offset)


def prefix_end(prefix: bytes) -> bytes:
    """The first key that does not start with `prefix`, nor comes before one that does.

    Raises:
        ValueError: `prefix` is empty or only 0xff bytes, so there is no such key.
    """
    stem = prefix.rstrip(b"\xff")
    if not stem:
        raise ValueError("Key must contain at least one byte not equal to 0xFF.")
    return stem[:-1] + bytes((stem[-1] + 1,))
