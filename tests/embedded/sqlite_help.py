"""What the tests of the SQLite store share: a store driven directly, a clock that a test moves."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from phasm_fdb.embedded.mutation import SET, Mutation
from phasm_fdb.embedded.sqlite import SqliteStore
from phasm_fdb.embedded.store import CommitRequest, Committed, KeyRange, Snapshot
from phasm_fdb.errors import FDBError

END = b"\xff"


class ManualClock:
    """Seconds since the epoch that pass when the test says so."""

    def __init__(self, now: float = 1_700_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def open_store(path: Path, clock: ManualClock, **options: Any) -> SqliteStore:
    """A store without a polling thread, on the test's clock."""
    return SqliteStore(path, synchronous="normal", poll_seconds=None, wall_clock=clock, sleep=clock.sleep, **options)


def outcome(
    store: SqliteStore,
    mutations: Sequence[Mutation] = (),
    *,
    snapshot: Snapshot | None = None,
    reads: Iterable[bytes] = (),
    read_ranges: Iterable[KeyRange] = (),
    write_keys: Iterable[bytes] | None = None,
    write_ranges: Iterable[KeyRange] = (),
) -> Committed | FDBError:
    """Commit and return what the store says; what is written counts as a write conflict unless said otherwise."""
    told: list[Committed | FDBError] = []
    written = [key for _, key, _ in mutations] if write_keys is None else list(write_keys)
    store.commit(
        CommitRequest(snapshot, list(reads), list(read_ranges), written, list(write_ranges), mutations),
        told.append,
    )
    (result,) = told
    return result


def put(store: SqliteStore, **values: bytes) -> int:
    """Set keys by name; returns the version of the commit."""
    result = outcome(store, [(SET, key.encode(), value) for key, value in values.items()])
    assert isinstance(result, Committed)
    return result.version


def contents(store: SqliteStore, version: int | None = None) -> dict[bytes, bytes]:
    """Everything at a version, or now."""
    return dict(store.snapshot(version).range(b"", END, 1_000_000, False))
