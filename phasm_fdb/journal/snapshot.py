"""Snapshots in the database: copies of the state at one version, where a replay can begin.

A snapshot is a stream of frames, cut into rows. The row that says so is written last, so one that was interrupted is
none; `sweep` removes what is left of it.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from phasm_fdb import plain
from phasm_fdb.database.paging import PagedReader
from phasm_fdb.database.ranges import rows
from phasm_fdb.database.transactional import run
from phasm_fdb.errors import CodecError
from phasm_fdb.journal.frames import FrameWriter
from phasm_fdb.journal.state_copy import StateCopy, write_state
from phasm_fdb.keyspace import Keyspace

PART_BYTES = 90_000
#: How many parts are written in one transaction.
PARTS_AT_ONCE = 10


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A snapshot in the database.

    Attributes:
        version: of the state; it names the snapshot.
        at: when it was taken, in milliseconds since the epoch.
        bytes: its size.
    """

    version: int
    at: int
    bytes: int


def take(keyspace: Keyspace, db: Any, copy: StateCopy, at: int) -> Snapshot:
    """Write a copy of the state into the database."""
    parts = _Parts(keyspace, db, copy.version)
    frames = FrameWriter(parts.write)
    write_state(frames, copy)
    frames.end()
    parts.finish()
    content = plain.to_bytes([parts.count, parts.size, at])
    run(db, lambda tr: tr.set(keyspace.snapshot(copy.version), content))
    return Snapshot(copy.version, at, parts.size)


class _Parts:
    """Cuts a stream into rows and writes them, some in each transaction."""

    def __init__(self, keyspace: Keyspace, db: Any, version: int) -> None:
        self._keyspace = keyspace
        self._db = db
        self._version = version
        self._buffer = bytearray()
        self.count = 0
        self.size = 0

    def write(self, data: bytes) -> None:
        self._buffer += data
        while len(self._buffer) >= PART_BYTES * PARTS_AT_ONCE:
            self._store(PART_BYTES * PARTS_AT_ONCE)

    def finish(self) -> None:
        self._store(len(self._buffer))

    def _store(self, size: int) -> None:
        data = bytes(self._buffer[:size])
        del self._buffer[:size]
        pieces = [data[start : start + PART_BYTES] for start in range(0, size, PART_BYTES)]
        run(self._db, functools.partial(self._set, self.count, pieces))
        self.count += len(pieces)
        self.size += size

    def _set(self, first: int, pieces: list[bytes], tr: Any) -> None:
        for number, piece in enumerate(pieces, first):
            tr.set(self._keyspace.snapshot_part(self._version, number), piece)


def snapshots(keyspace: Keyspace, db: Any) -> list[Snapshot]:
    """The snapshots in the database, the oldest first."""
    found = run(db, lambda tr: list(first_rows(keyspace, tr)))
    return [
        Snapshot(version, *_content(keyspace.snapshot(version), value))
        for version, complete, value in found
        if complete
    ]


def first_rows(keyspace: Keyspace, tr: Any) -> Iterator[tuple[int, bool, bytes]]:
    """Of every snapshot, also an interrupted one: its version, whether it is complete, and its first row."""
    begin, end = keyspace.snapshots()
    while True:
        row = next(iter(rows(tr, begin, end, limit=1)), None)
        if row is None:
            return
        version, complete = keyspace.snapshot_of(row[0])
        yield version, complete, row[1]
        begin = keyspace.snapshot(version) + b"\xff"


def parts(keyspace: Keyspace, db: Any, version: int) -> Iterator[bytes]:
    """The bytes of a snapshot."""
    begin = keyspace.snapshot_part(version, 0)
    return (value for _, value in PagedReader(db, PARTS_AT_ONCE).rows(begin, keyspace.snapshot(version) + b"\xff"))


def drop(keyspace: Keyspace, tr: Any, version: int) -> None:
    """Remove a snapshot, or what is left of one."""
    begin = keyspace.snapshot(version)
    tr.clear_range(begin, begin + b"\xff")


def _content(row: bytes, value: bytes) -> tuple[int, int]:
    try:
        _, size, at = plain.list_from_bytes(value, [(int,)] * 3)
    except CodecError as error:
        raise error.at("a snapshot", row) from error
    return at, size
