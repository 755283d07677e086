"""A naive FoundationDB: every version is a whole dict, every conflict set a plain set. Written to be read.

Keys come from a small alphabet, so a range can be spelled out. Between two keys of the alphabet there are keys
that are never stored but can be in a range that conflicts; `POINTS` has one for each gap, the key and a zero
byte, which is also where a single key's range ends.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

KEYS = [b"a", b"b", b"c", b"d", b"e", b"f"]
POINTS = sorted(KEYS + [key + b"\x00" for key in KEYS])

Contents = dict[bytes, bytes]
Operation = Callable[[bytes | None], bytes | None]
"""What a write makes of the value that a key has; `None` is no value."""


class Conflict(Exception):
    """1020: what the transaction read was written by a later commit."""


def points(begin: bytes, end: bytes) -> set[bytes]:
    """The range `[begin, end)`, spelled out."""
    return {point for point in POINTS if begin <= point < end}


@dataclass
class Model:
    """All versions of the database, and what each commit wrote: `versions[n]` is after `n` commits."""

    versions: list[Contents] = field(default_factory=lambda: [{}])
    written: list[set[bytes]] = field(default_factory=lambda: [set()])

    def begin(self, version: int | None = None) -> ModelTransaction:
        return ModelTransaction(self, len(self.versions) - 1 if version is None else version)


@dataclass
class ModelTransaction:
    """One transaction that reads version `version`."""

    model: Model
    version: int
    operations: dict[bytes, list[Operation]] = field(default_factory=dict)
    #: Keys whose value follows from the transaction's own writes alone: reading them reads nothing.
    known: set[bytes] = field(default_factory=set)
    read: set[bytes] = field(default_factory=set)
    wrote: set[bytes] = field(default_factory=set)

    def value(self, key: bytes) -> bytes | None:
        """What `key` holds for this transaction."""
        value = self.model.versions[self.version].get(key)
        for operation in self.operations.get(key, []):
            value = operation(value)
        return value

    def get(self, key: bytes, *, snapshot: bool = False) -> bytes | None:
        if not snapshot:
            self.read |= {key} - self.known
        return self.value(key)

    def get_range(
        self, begin: bytes, end: bytes, limit: int, reverse: bool, *, snapshot: bool = False
    ) -> list[tuple[bytes, bytes]]:
        keys = [key for key in sorted(KEYS, reverse=reverse) if begin <= key < end]
        rows = [(key, value) for key in keys if (value := self.value(key)) is not None]
        if limit and len(rows) >= limit:
            # A full page has read up to its last row, and no further.
            rows = rows[:limit]
            begin, end = (rows[-1][0], end) if reverse else (begin, rows[-1][0] + b"\x00")
        if not snapshot:
            self.read |= points(begin, end) - self.known
        return rows

    def set(self, key: bytes, value: bytes) -> None:
        self.write_known({key}, value)

    def clear(self, key: bytes) -> None:
        self.write_known({key}, None)

    def clear_range(self, begin: bytes, end: bytes) -> None:
        self.write_known(points(begin, end), None)

    def atomic(self, key: bytes, operation: Operation) -> None:
        """A write that depends on the value there, so that it leaves the key as known as it was."""
        self.operations.setdefault(key, []).append(operation)
        self.wrote.add(key)

    def write_known(self, keys: AbstractSet[bytes], value: bytes | None) -> None:
        for key in keys:
            self.operations[key] = [lambda _: value]
        self.known |= keys
        self.wrote |= keys

    def commit(self) -> int | None:
        """The version of the commit; None for a transaction without writes.

        Raises:
            Conflict: a commit after `version` wrote what was read.
        """
        if not self.wrote:
            return None
        later = self.model.written[self.version + 1 :]
        if any(self.read & written for written in later):
            raise Conflict
        contents = dict(self.model.versions[-1])
        for key, operations in self.operations.items():
            value = contents.get(key)
            for operation in operations:
                value = operation(value)
            if value is None:
                contents.pop(key, None)
            else:
                contents[key] = value
        self.model.versions.append(contents)
        self.model.written.append(set(self.wrote))
        return len(self.model.versions) - 1
