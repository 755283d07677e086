"""The journal: what is in it, in whose transaction, for how long, and that nobody can leave a hole in it unnoticed."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import phasm_fdb
from phasm_fdb import (
    CodecError,
    InputRejected,
    Layer,
    Normal,
    StaleCompletion,
    State,
    StateMachine,
    Subspace,
    TrackedActionCompleted,
    Value,
    transactional,
)
from phasm_fdb.database.staged import Staged
from phasm_fdb.database.transactional import run
from phasm_fdb.database.versions import read_version
from phasm_fdb.embedded import open_memory
from phasm_fdb.journal import state_copy
from phasm_fdb.journal.entry import Entry
from phasm_fdb.journal.journal import read_sum
from phasm_fdb.journal.reading import entries
from phasm_fdb.keyspace import Keyspace
from phasm_fdb.machine import Input
from phasm_fdb.runtime import Handlers
from tests.machines import Charged, Crash, Deposit, InsufficientFunds, Job, Pay, Queue, Wallet
from tests.reading import everything
from tests.runtime.machines import Append, Break, Jobs, Refuse, Remind, Reminder
from tests.runtime.virtual import World, in_virtual_time


def journal(db: Any, layer: Layer) -> list[Entry]:
    """All entries."""
    recorded = entries(db, layer.keyspace, None, run(db, read_version))
    return [Entry.decode(data) for _, data in recorded]


def inputs(db: Any, layer: Layer) -> list[tuple[Input, bool]]:
    """The inputs that were decided, and whether each was applied."""
    found = [entry for entry in journal(db, layer) if entry.kind in ("input", "completion")]
    return [(entry.input(layer.context.definition), entry.applied) for entry in found]


def payloads(db: Any, layer: Layer) -> list[Any]:
    return [input.payload if isinstance(input, Normal) else input.result for input, _ in inputs(db, layer)]


@pytest.fixture
def wallets(subspace: Subspace) -> Layer:
    return Layer(Wallet(), subspace, journal=True, clock=itertools.count(1000).__next__)


def test_every_input_is_there_in_order_with_its_time_request_id_and_outcome(db: Any, wallets: Layer) -> None:
    wallets.apply(db, Deposit("ann", 5), request_id="d")
    wallets.apply(db, Pay("ann", 4), request_id=("p", 1))
    with pytest.raises(InsufficientFunds):
        wallets.apply(db, Pay("ann", 2), request_id="too much")
    wallets.complete(db, 1, Charged("r"))
    assert inputs(db, wallets) == [
        (Normal(Deposit("ann", 5), 1_000_000), True),
        (Normal(Pay("ann", 4), 1_001_000), True),
        (Normal(Pay("ann", 2), 1_002_000), False),
        (TrackedActionCompleted(1, Charged("r"), 1_003_000), True),
    ]
    requests = [input.request_id for input, _ in inputs(db, wallets) if isinstance(input, Normal)]
    assert requests == ["d", ("p", 1), "too much"]
    first, *_, refused, _ = journal(db, wallets)
    assert (first.kind, first.empty, first.schema) == ("on", True, 1)
    assert refused.summary == ("InsufficientFunds", "ann has 1, not 2")


def test_what_is_repeated_or_stale_or_fails_is_not_there(db: Any, wallets: Layer) -> None:
    wallets.apply(db, Deposit("ann", 5), request_id="d")
    assert wallets.apply(db, Deposit("ann", 5), request_id="d").repeated
    with pytest.raises(StaleCompletion):
        wallets.complete(db, 7, Charged("r"))
    with pytest.raises(ZeroDivisionError):
        wallets.apply(db, Crash("ann"))
    assert payloads(db, wallets) == [Deposit("ann", 5)]


def test_a_rejection_commits_its_entry_and_nothing_else(db: Any, wallets: Layer, subspace: Subspace) -> None:
    wallets.apply(db, Deposit("ann", 5))
    before = everything(db, subspace)
    with pytest.raises(InsufficientFunds):
        wallets.apply(db, Pay("ann", 6), request_id="r")
    after = everything(db, subspace)
    changed = {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}
    keys = wallets.keyspace
    assert len(changed) == 2
    assert all(key.startswith(keys.journal) or key == keys.journal_sum for key in changed)
    wallets.apply(db, Deposit("ann", 1))
    assert wallets.apply(db, Pay("ann", 6), request_id="r").reply == 1, "the request id was still unused"


def test_the_first_input_of_all_may_be_refused(db: Any, wallets: Layer) -> None:
    with pytest.raises(InsufficientFunds):
        wallets.apply(db, Pay("ann", 6))
    assert [entry.kind for entry in journal(db, wallets)] == ["on", "input"]
    wallets.apply(db, Deposit("ann", 6))
    assert [entry.kind for entry in journal(db, wallets)] == ["on", "input", "input"]


def test_in_a_callers_transaction_the_entries_are_part_of_it(db: Any, wallets: Layer) -> None:
    @transactional
    def body(tr: Any, fails: bool) -> None:
        wallets.apply(tr, Deposit("ann", 5))
        with pytest.raises(InsufficientFunds):
            wallets.apply(tr, Pay("ann", 6))
        wallets.apply(tr, Pay("ann", 5))
        if fails:
            raise KeyError

    with pytest.raises(KeyError):
        body(db, True)
    assert journal(db, wallets) == []
    body(db, False)
    assert payloads(db, wallets) == [Deposit("ann", 5), Pay("ann", 6), Pay("ann", 5)]
    assert [applied for _, applied in inputs(db, wallets)] == [True, False, True]


def test_a_layer_with_a_cache_keeps_a_journal_too(db: Any, subspace: Subspace) -> None:
    layer = Layer(Wallet(), subspace, journal=True, cache=100)
    for _ in range(3):
        layer.apply(db, Deposit("ann", 1))
        with pytest.raises(InsufficientFunds):
            layer.apply(db, Pay("ann", 50))
    assert payloads(db, layer) == [Deposit("ann", 1), Pay("ann", 50)] * 3


def test_without_it_there_is_none(db: Any, subspace: Subspace) -> None:
    layer = Layer(Wallet(), subspace)
    layer.apply(db, Deposit("ann", 1))
    keys = layer.keyspace
    assert not [key for key in everything(db, subspace) if key.startswith((keys.journal, keys.journal_sum))]


# -------------------------------------------------------------------------------------- inbox and timers


@in_virtual_time
async def test_inputs_from_the_inbox_and_from_timers_are_there(world: World) -> None:
    layer = world.layer(Jobs(), journal=True)
    for number, payload in enumerate((Append("k", "a"), Refuse(), Break(), Append("k", "b"), Remind(7, after=60.0))):
        layer.submit(world.db, payload, request_id=number, ordering_key="k")
    async with world.worker(layer, Handlers()):
        with pytest.raises(InputRejected):
            await layer.outcome(world.db, 1)
        await world.until(lambda: 7 in layer.view(world.db).reminded)
    assert payloads(world.db, layer) == [Append("k", "a"), Refuse(), Append("k", "b"), Remind(7, 60.0), Reminder(7)]
    assert [applied for _, applied in inputs(world.db, layer)] == [True, False, True, True, True]
    fired, _ = inputs(world.db, layer)[-1]
    assert fired.at is not None and fired.at >= (1_700_000_000 + 60) * 1000


# --------------------------------------------------------------------------------------------- conflicts


def test_journaled_transitions_conflict_with_nobody(db: Any, subspace: Subspace) -> None:
    layer = Layer(Queue(), subspace, journal=True)
    layer.apply(db, Job("first"))
    open_ = [db.create_transaction() for _ in range(3)]
    for number, tr in enumerate(open_):
        layer.apply(tr, Job(f"at once {number}"))
    for tr in open_:
        tr.commit().wait()
    assert len(payloads(db, layer)) == 4


def test_a_rejection_is_decided_on_what_is_true_at_its_commit(db: Any, subspace: Subspace) -> None:
    """A refused input that was decided on an old state must not get behind the input that changed it."""
    layer = Layer(Wallet(), subspace, journal=True)
    layer.apply(db, Deposit("ann", 1))
    tr = db.create_transaction()
    with pytest.raises(InsufficientFunds):
        layer.apply(tr, Pay("ann", 5))
    layer.apply(db, Deposit("ann", 9))
    with pytest.raises(Exception, match="not committed"):
        tr.commit().wait()
    assert payloads(db, layer) == [Deposit("ann", 1), Deposit("ann", 9)]


class Overtaken:
    """A database in which somebody else commits first, once."""

    def __init__(self, db: Any, before: Callable[[], object]) -> None:
        self.db, self.before = db, before

    def create_transaction(self) -> Any:
        outer, tr = self, self.db.create_transaction()

        class Transaction:
            def __getattr__(self, name: str) -> Any:
                return getattr(tr, name)

            def commit(self) -> Any:
                before, outer.before = outer.before, lambda: None
                before()
                return tr.commit()

        return Transaction()


def test_a_rejection_that_was_overtaken_is_decided_again_and_may_be_none(db: Any, subspace: Subspace) -> None:
    layer = Layer(Wallet(), subspace, journal=True)
    layer.apply(db, Deposit("ann", 1))
    overtaken = Overtaken(db, lambda: layer.apply(db, Deposit("ann", 9)))
    assert layer.apply(overtaken, Pay("ann", 5)).reply == 1
    assert [applied for _, applied in inputs(db, layer)] == [True, True, True]
    assert payloads(db, layer) == [Deposit("ann", 1), Deposit("ann", 9), Pay("ann", 5)]


# ------------------------------------------------------------------------------------------ large and odd


@dataclass(frozen=True)
class Text:
    text: str


class NoteState(State):
    text = Value(str, "")


class Note(StateMachine):
    State = NoteState
    Input = Text | Deposit
    Reply = None

    def stf(self, state: Any, input: Any, actions: Any) -> None:
        if isinstance(input.payload, Text):
            state.text.set(input.payload.text)


def test_an_input_larger_than_a_row_takes_several(db: Any, subspace: Subspace) -> None:
    layer = Layer(Note(), subspace, journal=True)
    texts = ["a" * 250_000, "b", "c" * 90_000, "d" * 100_001]
    for text in texts:
        layer.apply(db, Text(text))
    assert payloads(db, layer) == [Text(text) for text in texts]


def test_an_input_that_cannot_be_encoded_is_refused_and_nothing_is_written(db: Any, subspace: Subspace) -> None:
    layer = Layer(Note(), subspace, journal=True)
    with pytest.raises(CodecError, match=r"Deposit\.user: .* has no UTF-8 form"):
        layer.apply(db, Deposit("\ud800", 1))
    assert everything(db, subspace) == {}


@dataclass
class Batch:
    items: list[str]


class Consumes(Note):
    """Takes its input apart, which a machine must not do: another attempt would find it empty."""

    Input = Batch
    Reply = int

    def stf(self, state: Any, input: Any, actions: Any) -> int:
        count = len(input.payload.items)
        state.text.set("".join(input.payload.items.pop(0) for _ in range(count)))
        return count


def test_an_input_is_recorded_as_it_came_also_if_the_machine_changes_it(db: Any, subspace: Subspace) -> None:
    layer = Layer(Consumes(), subspace, journal=True)
    assert layer.apply(db, Batch(["a", "b"])).reply == 2
    assert payloads(db, layer) == [Batch(["a", "b"])]
    assert layer.replay(db).same


@pytest.mark.parametrize("journal", [False, True])
def test_it_changes_nothing_of_what_apply_returns(db: Any, subspace: Subspace, journal: bool) -> None:
    note = Layer(Note(), subspace["note"], journal=journal)
    assert note.apply(db, Text("a")).versionstamp is None, "nothing holds it"
    wallet = Layer(Wallet(), subspace["wallet"], journal=journal)
    assert wallet.apply(db, Deposit("ann", 5)).versionstamp is not None, "a row of the state holds it"


# --------------------------------------------------------------------------------------------- no holes


def test_a_process_that_was_not_told_to_keeps_the_journal_too(db: Any, subspace: Subspace) -> None:
    Layer(Wallet(), subspace, journal=True).apply(db, Deposit("ann", 1))
    other = Layer(Wallet(), subspace)
    other.apply(db, Deposit("ann", 2))
    with pytest.raises(InsufficientFunds):
        other.apply(db, Pay("ann", 50))
    assert payloads(db, other) == [Deposit("ann", 1), Deposit("ann", 2), Pay("ann", 50)]


def test_switching_it_off_and_on_again_leaves_a_mark(db: Any, subspace: Subspace) -> None:
    layer, other = Layer(Wallet(), subspace, journal=True), Layer(Wallet(), subspace)
    layer.apply(db, Deposit("ann", 1))
    layer.stop_journal(db)
    other.apply(db, Deposit("ann", 2))
    layer.apply(db, Deposit("ann", 3))
    assert payloads(db, layer) == [Deposit("ann", 1), Deposit("ann", 3)]
    marks = [(entry.empty, entry.before > 0) for entry in journal(db, layer) if entry.kind == "on"]
    assert marks == [(True, False), (False, True)]


def test_switched_on_before_there_is_any_state_it_is_whole(db: Any, subspace: Subspace) -> None:
    Layer(Wallet(), subspace).submit(db, Deposit("ann", 1))
    layer = Layer(Wallet(), subspace, journal=True)
    layer.apply(db, Deposit("ann", 3))
    assert journal(db, layer)[0].empty


# --------------------------------------------------------------------------------- snapshots, retention


class Era:
    """A memory database whose clock the test moves, and a layer on it."""

    def __init__(self, retention_seconds: float | None) -> None:
        self.now = 1000.0
        self.db = phasm_fdb.open("memory:", clock=lambda: self.now)
        self.layer = Layer(
            Wallet(), ("w",), journal=True, journal_retention_seconds=retention_seconds, clock=lambda: self.now
        )

    def deposit(self, cents: int) -> None:
        self.now += 100.0
        self.layer.apply(self.db, Deposit("ann", cents))

    def kept(self) -> list[int]:
        return [payload.cents for payload in payloads(self.db, self.layer)]

    def snapshots(self) -> list[int]:
        return [one.version for one in self.layer.snapshots(self.db)]


def test_snapshots_are_listed_and_dropped() -> None:
    era = Era(None)
    era.deposit(1)
    first = era.layer.snapshot(era.db)
    era.deposit(2)
    second = era.layer.snapshot(era.db)
    found = era.layer.snapshots(era.db)
    assert [one.version for one in found] == [first, second]
    assert [one.at for one in found] == [1_100_000, 1_200_000]
    assert all(one.bytes > 50 for one in found)
    era.layer.drop_snapshot(era.db, first)
    assert era.snapshots() == [second]


def test_a_snapshot_of_a_process_that_stood_still_is_of_a_later_version(monkeypatch: pytest.MonkeyPatch) -> None:
    """A version is known for five seconds, and a process may stand still for longer between any two of its steps."""
    now = [0.0]
    db = open_memory(clock=lambda: now[0], sleep=lambda seconds: now.__setitem__(0, now[0] + seconds))
    layer = Layer(Wallet(), ("wallets",), journal=True)
    layer.apply(db, Deposit("ann", 5))
    stalls = [6.0, 6.0, 0.0]

    def stalled(staged: Staged, keyspace: Keyspace) -> int:
        now[0] += stalls.pop(0)
        return read_sum(staged, keyspace)

    monkeypatch.setattr(state_copy, "read_sum", stalled)
    version = layer.snapshot(db)
    assert stalls == []
    assert [one.version for one in layer.snapshots(db)] == [version]
    assert version > 12_000_000


def test_a_retention_time_is_positive() -> None:
    with pytest.raises(phasm_fdb.MachineDefinitionError, match="journal_retention_seconds is 0"):
        Layer(Wallet(), ("w",), journal=True, journal_retention_seconds=0)


def test_a_snapshot_needs_a_layer(db: Any, wallets: Layer) -> None:
    with pytest.raises(phasm_fdb.KeyspaceError, match="nothing of a layer"):
        wallets.snapshot(db)


def test_without_a_retention_time_nothing_is_removed() -> None:
    era = Era(None)
    era.deposit(1)
    era.now += 1e6
    era.deposit(2)
    era.layer.sweep(era.db)
    assert era.kept() == [1, 2]


def test_old_entries_go_in_batches() -> None:
    era = Era(1000.0)
    for cents in range(25):
        era.deposit(cents)
    era.layer.sweep(era.db, batch=4)
    # The newest is at age 0 and the version that is read is its own: those from 1000 seconds before on are kept.
    assert era.kept() == list(range(15, 25))


def test_the_newest_snapshot_that_is_old_enough_is_where_what_is_kept_begins() -> None:
    era = Era(1000.0)
    versions = []
    for cents in range(30):
        era.deposit(cents)
        if cents % 5 == 0:  # 0, 5, 10, 15, 20, 25
            versions.append(era.layer.snapshot(era.db))
    era.layer.sweep(era.db, batch=3)
    assert era.snapshots() == versions[3:], "15 is the newest that is older than 1000 seconds"
    assert era.kept() == list(range(16, 30))


def test_a_young_snapshot_needs_no_old_entries() -> None:
    era = Era(1000.0)
    for cents in range(30):
        era.deposit(cents)
    version = era.layer.snapshot(era.db)
    era.deposit(30)
    era.layer.sweep(era.db)
    assert era.snapshots() == [version]
    assert era.kept() == list(range(21, 31))


def test_what_is_left_of_an_interrupted_snapshot_goes_after_an_hour() -> None:
    era = Era(None)
    era.deposit(1)
    keys = era.layer.keyspace
    version = run(era.db, read_version)
    era.db[keys.snapshot_part(version, 0)] = b"the first part of something"
    assert era.snapshots() == []
    era.layer.sweep(era.db)
    assert era.db[keys.snapshot_part(version, 0)] == b"the first part of something", "it may still be written"
    era.now += 4000.0
    era.deposit(2)
    era.layer.sweep(era.db)
    assert era.db[keys.snapshot_part(version, 0)] == None  # noqa: E711 - the database's own None


def test_a_pipe_or_a_device_is_written_to_and_stays_what_it_is(db: Any, wallets: Layer, tmp_path: Path) -> None:
    wallets.apply(db, Deposit("ann", 1))
    wallets.export(db, tmp_path / "file")
    reader, writer = os.pipe()
    try:
        wallets.export(db, f"/dev/fd/{writer}")
        assert os.read(reader, 1 << 16) == (tmp_path / "file").read_bytes()
    finally:
        os.close(reader)
        os.close(writer)


def test_a_file_that_is_not_whole_never_appears(db: Any, wallets: Layer, tmp_path: Path) -> None:
    with pytest.raises(phasm_fdb.DatabaseError, match="nothing of a layer"):
        wallets.export(db, tmp_path / "history")
    wallets.apply(db, Deposit("ann", 1))
    db[wallets.keyspace.journal_row(0)[:-4]] = b"an entry that cannot be decoded, at the end"
    wallets.export(db, tmp_path / "history")
    assert [path.name for path in tmp_path.iterdir() if "history" in path.name] == ["history"]
    with pytest.raises(OSError):
        wallets.export(db, tmp_path / "no such folder" / "history")
