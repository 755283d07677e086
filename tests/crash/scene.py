"""What all processes of a run share: the database, the layer as each of them has it, clocks, and logs."""

from __future__ import annotations

import contextlib
import random
import struct
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgpack

import phasm_fdb
from phasm_fdb import DatabaseError, Layer, Subspace
from tests.simulation.torture.machine import Everything

SUBSPACE = Subspace(("crash",))
#: Rows that callers write beside the layer, in the same transactions.
NOTES = Subspace(("notes",))
LEASE_SECONDS = 1.5
#: A cluster that does not answer has five seconds for it each time.
MOST_OPENS = 12


@dataclass(frozen=True)
class Scene:
    """One process's part of a run.

    Attributes:
        url: of the database.
        folder: holds the clocks and the logs.
        name: of the process, which no other one ever has.
    """

    url: str
    folder: Path
    name: str

    def open(self) -> Any:
        """Open the database; again for a while where no server answers, since it may be killed just then."""
        options = {"timeout_ms": 20_000} if self.url.startswith("fdb:") else {}
        for _ in range(MOST_OPENS):
            with contextlib.suppress(DatabaseError):
                return phasm_fdb.open(self.url, **options)
        return phasm_fdb.open(self.url, **options)

    @property
    def rng(self) -> random.Random:
        """Chance of this process's own."""
        return random.Random(self.name)

    def clock(self) -> float:
        """The time in seconds since the epoch, as this process believes it to be."""
        return time.time() + read_skew(self.folder, self.name)

    def layer(self) -> Layer:
        """The layer, with what this process does beside its work."""
        rng = self.rng
        return Layer(
            Everything(),
            SUBSPACE,
            lanes=3,
            journal=True,
            checked=rng.random() < 0.2,
            verify=rng.choice((0.0, 0.0, 0.2)),
            cache=rng.choice((0, 0, 100)),
            clock=self.clock,
        )

    def log(self, *fields: Any) -> None:
        """Append a record to the log of this process, so that a kill right after it does not lose it."""
        data = msgpack.packb(fields, default=repr)
        with (self.folder / f"{self.name}.log").open("ab") as file:
            file.write(struct.pack(">I", len(data)) + data)


def write_skew(folder: Path, name: str, seconds: float) -> None:
    """Set the clock of a process ahead by so many seconds."""
    path = folder / f"{name}.clock"
    new = path.with_suffix(".new")
    new.write_bytes(struct.pack(">d", seconds))
    new.replace(path)


def read_skew(folder: Path, name: str) -> float:
    """By how many seconds the clock of a process is ahead."""
    try:
        (seconds,) = struct.unpack(">d", (folder / f"{name}.clock").read_bytes())
    except FileNotFoundError:
        return 0.0
    return float(seconds)


def read_logs(folder: Path) -> dict[str, list[list[Any]]]:
    """The records of all processes, by name; the last one of a process that was killed may be cut short."""
    logs = {}
    for path in sorted(folder.glob("*.log")):
        data, records = path.read_bytes(), []
        while len(data) >= 4:
            (size,) = struct.unpack(">I", data[:4])
            if len(data) < 4 + size:
                break
            records.append(msgpack.unpackb(data[4 : 4 + size], strict_map_key=False))
            data = data[4 + size :]
        logs[path.stem] = records
    return logs
