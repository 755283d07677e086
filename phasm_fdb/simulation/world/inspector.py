"""Read the stored layer from outside: its state, what is pending, what `restore` names, what a commit changed.

The inspector has a machine of its own, which no simulated process ever touches, and reads the snapshots of the store.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from typing import Any

from fdb.tuple import Versionstamp

from phasm_fdb.actions import Actions, Tracked
from phasm_fdb.database.staged import Staged
from phasm_fdb.describing import Change, place_of, value_of
from phasm_fdb.embedded.database import Database
from phasm_fdb.embedded.store import Snapshot, Store
from phasm_fdb.keys import pack_element
from phasm_fdb.keyspace import stamp_of
from phasm_fdb.layer import Layer
from phasm_fdb.machine import StateMachine
from phasm_fdb.outbox import TransactionStamps
from phasm_fdb.records import Progress, Record
from phasm_fdb.simulation.workload import Workload
from phasm_fdb.simulation.world.commit import Commit, SnapshotReader
from phasm_fdb.transition.decision import view_over

SUBSPACE = ("simulated",)


class Inspector:
    """The stored layer of a run, as it is now or at a snapshot."""

    def __init__(self, workload: Workload, store: Store) -> None:
        self.layer = Layer(make_machine(workload), SUBSPACE, guard="error")
        self.context = self.layer.context
        self.definition = self.context.definition
        self.keyspace = self.context.keyspace
        self._store = store

    def snapshot(self) -> Snapshot:
        """All rows, as they are now."""
        return self._store.snapshot()

    def stillborn(self, at: Snapshot) -> set[Versionstamp]:
        """The stamps of outbox rows that died in the transaction that wrote them."""
        return self.context.outbox.stillborn(_Transactionlike(at))

    def staged(self, place: str, at: Snapshot | None = None) -> Staged:
        """A read-only view of all rows."""
        return Staged(SnapshotReader(self._store.snapshot() if at is None else at), read_only=place)

    def state(self, place: str = "a view", at: Snapshot | None = None) -> Any:
        """The machine's state, to be read only."""
        return self.state_over(self.staged(place, at))

    def state_over(self, staged: Staged) -> Any:
        """The machine's state over a staged view."""
        large = self.context.meta.peek(staged).large
        return self.definition.state_class(view_over(staged, self.keyspace, large, TransactionStamps()))

    def check(self, at: Snapshot | None = None) -> None:
        """Check the invariants on the whole state; raises InvariantViolation."""
        self.definition.check_invariants(self.state("check_invariants", at))

    def pending(self, at: Snapshot | None = None) -> list[Tracked[Any]]:
        """The pending tracked actions, in versionstamp order."""
        reader = _Transactionlike(self._store.snapshot() if at is None else at)
        lanes = self.context.meta.peek(Staged(SnapshotReader(reader.snapshot))).lanes
        return list(self.context.outbox.pending(reader, lanes))

    def next_due_ms(self) -> int | None:
        """When the first of all that is pending may go on, in milliseconds since the epoch; None if nothing is pending.

        What may go on at once counts as due at 0; of the actions with one ordering key only the first may go on.
        """
        if any(self._waiting(self.keyspace.all_inbox)):
            return 0
        due = [self.keyspace.timer_of(row)[1] for row, _ in self._waiting(self.keyspace.all_timers)]
        return min([*due, *self._outbox_due()], default=None)

    def _outbox_due(self) -> Iterator[int]:
        """When the actions that are in their lanes are due, by what is noted of their attempts."""
        keys, snapshot = self.keyspace, self.snapshot()
        ordering_keys: set[bytes] = set()
        for row, value in self._waiting(keys.outbox):
            packed_key = Record.decode(value).packed_key
            if packed_key is not None:
                if packed_key in ordering_keys:
                    continue
                ordering_keys.add(packed_key)
            progress = snapshot.get(keys.progress_of(row))
            yield 0 if progress is None else Progress.decode(progress).next_ms

    def count_timers(self) -> int:
        """How many timers are set: by the machine, or for another attempt."""
        return sum(1 for _ in self._waiting(self.keyspace.all_timers))

    def count_inputs(self) -> int:
        """How many inputs wait to be applied."""
        return sum(1 for _ in self._waiting(self.keyspace.all_inbox))

    def count_pending(self) -> int:
        """How many actions, timers and inputs are pending."""
        return sum(1 for _ in self._waiting(self.keyspace.outbox)) + self.count_timers() + self.count_inputs()

    def is_call_running(self) -> bool:
        """Whether an attempt at an action has been started, and its end is not recorded."""
        return any(Progress.decode(value).running for _, value in _section(self.snapshot(), self.keyspace.all_progress))

    def restored(self, at: Snapshot | None = None) -> dict[bytes, Tracked[Any]]:
        """What the machine's `restore` names, by packed id."""
        emitted = Actions(sys.maxsize, self.definition.encode_action)
        self.definition.restore(self.state("restore", at), emitted)
        return {pack_element(action.id): action for action in emitted.tracked}

    def database(self) -> Database:
        """A handle on the store, which nothing happens to."""
        return Database(self._store)

    def is_anything_pending(self) -> bool:
        """Whether an action, a timer or an input waits."""
        keys = self.keyspace
        return any(any(self._waiting(section)) for section in (keys.outbox, keys.all_timers, keys.all_inbox))

    def _waiting(self, section: bytes) -> Iterator[tuple[bytes, bytes]]:
        """The rows of what waits, without those that died before they were committed and are not swept yet."""
        snapshot = self.snapshot()
        dead = None
        for row, value in _section(snapshot, section):
            if dead is None:
                dead = self.stillborn(snapshot)
            if stamp_of(row) not in dead:
                yield row, value


def _section(at: Snapshot, section: bytes) -> Iterator[tuple[bytes, bytes]]:
    return iter(at.range(section, section + b"\xff", 2**62, False))


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


def state_diff(inspector: Inspector, commit: Commit) -> list[str]:
    """The rows of the state that are not as they were, in key order, each as `place: before -> after`."""
    state, prefix = inspector.definition.state_class, inspector.keyspace.state
    rows = set(commit.of("s"))
    for begin, end in commit.cleared:
        if begin.startswith(prefix):
            rows.update(key for key, _ in commit.before.range(begin, end, 2**62, False))
    lines = []
    for row in sorted(rows):
        before, after = commit.before.get(row), commit.after.get(row)
        if before != after:
            suffix = row[len(prefix) :]
            values = (value_of(state, suffix, before), value_of(state, suffix, after))
            lines.append(str(Change(place_of(state, suffix), *values)))
    return lines
