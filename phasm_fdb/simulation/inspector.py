"""Looking at the stored layer from outside: its state, what is pending, what `restore` names.

It has a machine of its own, which no simulated process ever touches, and reads the store's snapshots directly.
"""

from __future__ import annotations

import inspect
import sys
from typing import Any

from fdb.tuple import Versionstamp

from phasm_fdb.actions import Actions, Tracked
from phasm_fdb.database.staged import Staged
from phasm_fdb.deciding import space_of
from phasm_fdb.embedded.database import Database
from phasm_fdb.embedded.store import Snapshot, Store
from phasm_fdb.keys import pack_element
from phasm_fdb.layer import Layer
from phasm_fdb.machine import StateMachine
from phasm_fdb.outbox import TransactionStamps
from phasm_fdb.records import Record
from phasm_fdb.simulation.commit import SnapshotReader
from phasm_fdb.simulation.workload import Workload

SUBSPACE = ("simulated",)


class Inspector:
    """The stored layer of a run, as it is now or at a snapshot."""

    def __init__(self, workload: Workload, store: Store) -> None:
        self.layer = Layer(make_machine(workload), SUBSPACE, guard="error")
        self.machinery = self.layer.machinery
        self.definition = self.machinery.definition
        self.keyspace = self.machinery.keyspace
        self._store = store

    def snapshot(self) -> Snapshot:
        """All rows, as they are now."""
        return self._store.snapshot()

    def stillborn(self, at: Snapshot) -> set[Versionstamp]:
        """The stamps of outbox rows that died in the transaction that wrote them."""
        return self.machinery.outbox.stillborn(_Transactionlike(at))

    def staged(self, place: str, at: Snapshot | None = None) -> Staged:
        """A read-only view of all rows."""
        return Staged(SnapshotReader(self._store.snapshot() if at is None else at), read_only=place)

    def state(self, place: str = "a view", at: Snapshot | None = None) -> Any:
        """The machine's state, to be read only."""
        return self.state_over(self.staged(place, at))

    def state_over(self, staged: Staged) -> Any:
        """The machine's state over a staged view."""
        large = set(self.machinery.meta.peek(staged).large)
        return self.definition.state_class(space_of(self.keyspace, staged, large, TransactionStamps()))

    def check(self, at: Snapshot | None = None) -> None:
        """Check the invariants on the whole state; raises InvariantViolation."""
        self.definition.check_invariants(self.state("check_invariants", at))

    def pending(self, at: Snapshot | None = None) -> list[Tracked[Any]]:
        """The pending tracked actions, in versionstamp order."""
        reader = _Transactionlike(self._store.snapshot() if at is None else at)
        lanes = self.machinery.meta.peek(Staged(SnapshotReader(reader.snapshot))).lanes
        return list(self.machinery.outbox.pending(reader, lanes))

    def last_due(self) -> float:
        """When, in seconds since the epoch, the last timer is due that was set by the machine, and not by a retry."""
        begin = self.keyspace.all_timers
        rows = self.snapshot().range(begin, begin + b"\xff", 2**62, False)
        due = (self.keyspace.timer_of(row)[1] for row, value in rows if Record.decode(value).progress is None)
        return max(due, default=0) / 1000

    def restored(self, at: Snapshot | None = None) -> dict[bytes, Tracked[Any]]:
        """What the machine's `restore` names, by packed id."""
        emitted = Actions(sys.maxsize, self.definition.encode_action)
        self.definition.restore(self.state("restore", at), emitted)
        return {pack_element(action.id): action for action in emitted.tracked}

    def database(self) -> Database:
        """A handle on the store, which nothing happens to."""
        return Database(self._store)

    def is_empty(self, *sections: tuple[bytes, bytes]) -> bool:
        """Whether none of these ranges has a row."""
        snapshot = self._store.snapshot()
        return not any(snapshot.range(begin, end, 1, False) for begin, end in sections)


class _Transactionlike:
    """As much of a transaction as reading ranges needs."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot

    def get_range(self, begin: bytes, end: bytes, limit: int = 0, reverse: bool = False) -> list[Any]:
        """The rows of a range."""
        return [_Row(*row) for row in self.snapshot.range(begin, end, limit or 2**62, reverse)]


class _Row:
    __slots__ = ("key", "value")

    def __init__(self, key: bytes, value: bytes) -> None:
        self.key = key
        self.value = value


def make_machine(workload: Workload, name: str = "machine") -> StateMachine:
    """The machine of a workload, whose attribute `name` is a class, a function, or a method."""
    declared = inspect.getattr_static(workload, name, None)
    if declared is None:
        raise TypeError(f"{type(workload).__name__}.{name} is not set: it is the machine's class")
    if inspect.isfunction(declared) and not inspect.signature(declared).parameters:
        return declared()  # type: ignore[no-any-return]
    return getattr(workload, name)()  # type: ignore[no-any-return]
