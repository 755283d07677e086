"""A copy of a layer's state at one version: read from the database, and written to and read from a stream of frames."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from phasm_fdb import plain
from phasm_fdb.database.ranges import Row
from phasm_fdb.database.staged import Staged
from phasm_fdb.database.transactional import run
from phasm_fdb.database.versions import read_version
from phasm_fdb.errors import CodecError, KeyspaceError, ReplayError
from phasm_fdb.journal.frames import FORMAT, MAGIC, FrameReader, FrameWriter
from phasm_fdb.journal.journal import read_sum
from phasm_fdb.journal.reading import rows_at
from phasm_fdb.keyspace import Keyspace
from phasm_fdb.meta import Meta

#: About how many bytes of rows a frame holds.
FRAME_BYTES = 64_000


@dataclass(frozen=True, slots=True)
class StateCopy:
    """The state of a layer at one version.

    Attributes:
        machine, schema, large: as in the layer's meta row.
        version: the database's version; 0 for the empty state that a layer begins with.
        sum: of all journal entries up to that version.
        rows: the rows in key order, keys without the layer's prefix; to be read once.
    """

    machine: str
    schema: int
    large: tuple[str, ...]
    version: int
    sum: int
    rows: Iterable[Row]

    def header(self) -> dict[str, Any]:
        """All but the rows."""
        return {
            "machine": self.machine,
            "schema": self.schema,
            "large": list(self.large),
            "version": self.version,
            "sum": self.sum,
        }

    @classmethod
    def of(cls, header: dict[str, Any], rows: Iterable[Row]) -> StateCopy:
        """The copy of which `header` gave this; raises a CodecError if it is not one."""
        names = ("machine", "schema", "large", "version", "sum")
        items: list[Any] = [header.get(name) for name in names]
        plain.check_list(items, [(str,), (int,), (list,), (int,), (int,)])
        machine, schema, large, version, total = items
        plain.check_list(large, [(str,)] * len(large))
        return cls(machine, schema, tuple(large), version, total, rows)


def copy_state(keyspace: Keyspace, meta: Meta, db: Any) -> StateCopy:
    """The state as it is now, in memory.

    Raises:
        ReplayError: it is being migrated, or cannot be read in the five seconds for which a version is known.
        KeyspaceError: there is no such layer in this database, or the keyspace is not this machine's.
    """

    def look(tr: Any) -> tuple[Any, int, int]:
        staged = Staged(tr)
        return meta.raw(staged), read_sum(staged, keyspace), read_version(tr)

    stored, total, version = run(db, look)
    if stored is None:
        raise KeyspaceError(f"there is nothing of a layer under {keyspace.prefix!r} in this database")
    if stored.migrating:
        raise ReplayError(
            f"the state of {stored.machine} is being migrated from schema version {stored.migrating}, and is of no "
            "version now: wait until that is done"
        )
    cut = len(keyspace.prefix)
    spaces = ((space, space + b"\xff") for space in (keyspace.overflow, keyspace.state))
    found = itertools.chain.from_iterable(rows_at(db, version, *space) for space in spaces)
    rows = [(key[cut:], value) for key, value in found]
    return StateCopy(stored.machine, stored.schema, stored.large, version, total, rows)


def write_state(frames: FrameWriter, copy: StateCopy) -> None:
    """Write a state as the first frames of a stream."""
    frames.add(MAGIC, FORMAT, copy.header())
    write_rows(frames, copy.rows)


def read_state(frames: FrameReader) -> StateCopy:
    """The state that a stream begins with."""
    return copy_of(frames, frames.header)


def copy_of(frames: FrameReader, header: dict[str, Any]) -> StateCopy:
    """The state of a header, whose rows come next in a stream."""
    try:
        return StateCopy.of(header, frames.take_pairs("rows"))
    except CodecError as error:
        raise frames.damaged(f"a header is another one: {error}") from error


def batches(pairs: Iterable[tuple[bytes, bytes]]) -> Iterator[list[tuple[bytes, bytes]]]:
    """The pairs in lists of about `FRAME_BYTES`."""
    batch: list[tuple[bytes, bytes]] = []
    size = 0
    for pair in pairs:
        batch.append(pair)
        size += len(pair[0]) + len(pair[1])
        if size >= FRAME_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def write_rows(frames: FrameWriter, rows: Iterable[Row]) -> None:
    """Write the rows of a state."""
    for batch in batches(rows):
        frames.add("rows", batch)
