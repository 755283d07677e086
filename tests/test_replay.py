"""A replay comes to the same, byte for byte; and whatever is changed, in the data or in the code, it finds."""

from __future__ import annotations

import io
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import msgpack
import pytest

import phasm_fdb
from layers.coffee_shop.workload import CoffeeShopWorkload
from layers.counter.workload import CounterWorkload
from layers.dentist_booking.workload import BookingWorkload
from phasm_fdb import (
    Actions,
    Counter,
    Layer,
    Log,
    Map,
    Normal,
    StaleCompletion,
    State,
    StateMachine,
    Subspace,
    Tracked,
    TransitionError,
    Value,
    transactional,
)
from phasm_fdb.database.transactional import run
from phasm_fdb.database.versions import read_version
from phasm_fdb.errors import DamagedHistory, ReplayError
from phasm_fdb.journal.entry import Entry
from phasm_fdb.journal.history import History, history_in, history_of
from phasm_fdb.journal.reading import entries
from phasm_fdb.replay import Report, replay
from phasm_fdb.runtime import Handlers
from phasm_fdb.simulation import Workload
from tests.machines import Charged, Declined, Deposit, Done, Job, Pay, Queue, Wallet, Withdraw
from tests.runtime import machines
from tests.runtime.faulty import FaultyDatabase
from tests.runtime.machines import Append, Jobs, Order, Refuse, Remind
from tests.runtime.virtual import World, in_virtual_time


def history(db: Any, layer: Layer, since: str | None = None) -> History:
    return history_in(layer.keyspace, layer.context.meta, db, since)


def replayed(db: Any, layer: Layer, since: str | None = None) -> Report:
    return replay(layer.context, history(db, layer, since))


def require_same(report: Report, inputs: int | None = None) -> None:
    assert report.same, "\n".join(map(str, report.differences))
    assert inputs is None or report.applied + report.refused == inputs


def work(db: Any, layer: Layer, count: int, seed: int = 0) -> None:
    """Some of everything that a wallet does, `count` times."""
    rng = random.Random(seed)
    for number in range(count):
        kind = rng.randrange(10)
        try:
            if kind < 3:
                layer.apply(db, Deposit(rng.choice("abc"), rng.randrange(1, 90)), request_id=number)
            elif kind < 7:
                layer.apply(db, Pay(rng.choice("abc"), rng.randrange(1, 150)))
            elif kind < 8:
                layer.apply(db, Withdraw(rng.randrange(1, count)))
            else:
                for action in list(layer.pending(db))[:1]:
                    layer.complete(db, action.id, rng.choice((Charged("r"), Declined())))
        except TransitionError:
            pass


@pytest.fixture
def wallets(subspace: Subspace) -> Layer:
    return Layer(Wallet(), subspace, journal=True)


# ------------------------------------------------------------------------------------------------- same


class Driver:
    """Runs a layer's own workload until so many inputs were decided."""

    def __init__(self, workload: Workload, seed: int) -> None:
        self.workload = workload
        self.rng = random.Random(seed)
        self.now = 1_000_000.0
        self.db = phasm_fdb.open("memory:", clock=lambda: self.now)
        self.layer = Layer(workload.machine(), ("app",), journal=True, clock=lambda: self.now)
        self.pending: list[Tracked[Any]] = []
        self.decided = 0

    def run(self, count: int) -> Layer:
        for payload in self.workload.setup(self.rng):
            self._decide(partial(self.layer.apply, self.db, payload))
        while self.decided < count:
            self.now += self.rng.random()
            if self.pending and self.rng.random() < self.workload.completions:
                self._complete(self.pending.pop(self.rng.randrange(len(self.pending))))
            else:
                payload = self.workload.next_input(self.rng, self.layer.view(self.db))
                if payload is not None:
                    self._decide(partial(self.layer.apply, self.db, payload))
        return self.layer

    def _complete(self, action: Tracked[Any]) -> None:
        result = self.workload.perform(self.rng, action.action)
        self._decide(partial(self.layer.complete, self.db, action.id, result))

    def _decide(self, apply: Callable[[], Any]) -> None:
        try:
            self.pending += apply().tracked
        except StaleCompletion:
            return
        except TransitionError:
            pass
        self.decided += 1


@pytest.mark.parametrize("workload", [CounterWorkload, CoffeeShopWorkload, BookingWorkload])
def test_10_000_transitions_of_each_layer_replay_to_the_same(workload: type[Workload]) -> None:
    driver = Driver(workload(), seed=1)
    layer = driver.run(10_000)
    report = replayed(driver.db, layer)
    require_same(report, 10_000)
    assert report.applied > 5_000


def test_a_wallets_history_replays_to_the_same(db: Any, wallets: Layer) -> None:
    work(db, wallets, 300)
    report = replayed(db, wallets)
    require_same(report)
    assert report.applied > 100 and report.refused > 10


class LedgerState(State):
    """Every kind of field, so that every kind of write is replayed."""

    jobs = Map(Any, str)
    log = Log(str)
    count = Counter()
    notes = Map(int, str)
    seen = Value(int, 0)


@dataclass(frozen=True)
class Note:
    number: int
    text: str


class Ledger(StateMachine):
    """Reads back what is versionstamped, keeps large values, adds blindly, and clears ranges."""

    State = LedgerState
    Input = Note
    TrackedAction = Note
    TrackedResult = Done
    Reply = list[str]

    def stf(self, state: Any, input: Any, actions: Actions) -> Any:
        if not isinstance(input, Normal):
            del state.jobs[input.id]
            state.log.append("done")
            return []
        note = input.payload
        if note.number % 7 == 6:
            raise TransitionError(f"after {len(list(state.log))} entries")
        id = actions.new_id()
        state.jobs[id] = note.text[:10]
        actions.add(Tracked(id, Note(note.number, "")))
        state.log.append(f"{note.number} {input.random().random()} {input.at}")
        state.count.add(note.number)
        state.notes[note.number % 5] = note.text * (note.number % 4 * 60_000)
        if note.number % 10 == 9:
            state.notes.clear(1, 3)
        state.seen.set(len(list(state.jobs)))
        return list(state.log)[-2:]


def fill(db: Any, layer: Layer, count: int) -> None:
    @transactional
    def write(tr: Any, number: int) -> None:
        layer.apply(tr, Note(number, "x"))

    for number in range(count):
        try:
            write(db, number)
        except TransitionError:
            layer.apply(db, Note(0, "instead"))
        if number % 3 == 2:
            layer.complete(db, next(iter(layer.pending(db))).id, Done())


def test_versionstamps_large_values_and_blind_writes_replay_to_the_same(db: Any, subspace: Subspace) -> None:
    layer = Layer(Ledger(), subspace, journal=True)
    fill(db, layer, 40)
    require_same(replayed(db, layer))


class PadState(State):
    notes = Map(int, str)


class Pad(StateMachine):
    """Writes without reading."""

    State = PadState
    Input = Note

    def stf(self, state: Any, input: Any, actions: Actions) -> None:
        state.notes[input.payload.number] = input.payload.text


def test_what_else_was_known_in_a_transaction_does_not_matter(db: Any, subspace: Subspace) -> None:
    """Overwriting clears the parts of an old large value, unless it is known that there are none."""
    layer = Layer(Pad(), subspace, journal=True)
    layer.apply(db, Note(1, "x" * 150_000))

    @transactional
    def twice(tr: Any) -> None:
        layer.apply(tr, Note(1, "small"))
        layer.apply(tr, Note(1, "other"))

    twice(db)
    assert dict(layer.view(db).notes.items()) == {1: "other"}
    require_same(replayed(db, layer), 3)


def test_several_inputs_of_one_transaction_are_replayed_as_one(db: Any, subspace: Subspace) -> None:
    layer = Layer(Queue(), subspace, journal=True)

    @transactional
    def three(tr: Any) -> None:
        for name in "abc":
            layer.apply(tr, Job(name))

    three(db)
    three(db)
    for action in list(layer.pending(db))[::2]:
        layer.complete(db, action.id, Done())
    require_same(replayed(db, layer), 9)


@in_virtual_time
async def test_what_workers_apply_in_batches_replays_to_the_same(world: World) -> None:
    layer, ledger = world.layer(Jobs(), journal=True), Layer(Ledger(), ("ledger",), journal=True, clock=world.clock)
    for number in range(60):
        layer.submit(world.db, Append("k", str(number)), ordering_key=number % 3)
        layer.submit(world.db, Order(number), ordering_key=number % 3)
        ledger.submit(world.db, Note(number, "x"), ordering_key="k")
    layer.submit(world.db, Refuse())
    layer.submit(world.db, Remind(99, after=30.0))
    handlers = Handlers()

    @handlers.on(machines.Job)
    async def job(action: machines.Job, attempt: Any) -> machines.Done:
        return machines.Done(f"{action.id}")

    async with world.worker(layer, handlers), world.worker(ledger, Handlers(), name="other"):
        await world.until(lambda: 99 in layer.view(world.db).reminded)
        await world.until(lambda: ledger.view(world.db).count.get() >= sum(n for n in range(60) if n % 7 != 6))
    require_same(replayed(world.db, layer), 60 + 60 + 60 + 1 + 2)
    stamps = [stamp[:10] for stamp, _ in entries(world.db, ledger.keyspace, None, run(world.db, read_version))]
    assert len(set(stamps)) < len(stamps) / 2, "many inputs shared a transaction"
    require_same(replayed(world.db, ledger), 60)


def test_conflicts_and_unknown_commits_leave_a_journal_that_replays(memory: Any) -> None:
    faulty = FaultyDatabase(memory, random.Random(3))
    layer = Layer(Wallet(), ("w",), journal=True)
    layer.apply(memory, Deposit("a", 1))
    faulty.rate = 0.3
    work(faulty, layer, 300)
    assert faulty.faults > 50
    require_same(replayed(memory, layer))


# ---------------------------------------------------------------------------------------------- damage


def state_rows(db: Any, layer: Layer) -> Iterator[tuple[bytes, bytes]]:
    for row in db.create_transaction().get_range(layer.keyspace.state, layer.keyspace.state + b"\xff"):
        yield row.key, row.value


def journal_rows(db: Any, layer: Layer) -> list[tuple[bytes, bytes]]:
    keys = layer.keyspace
    return [(row.key, row.value) for row in db.create_transaction().get_range(keys.journal, keys.journal + b"\xff")]


def flipped(data: bytes, position: int) -> bytes:
    return data[:position] + bytes([data[position] ^ 0x10]) + data[position + 1 :]


def test_any_flipped_byte_of_a_journal_entry_is_found(memory: Any) -> None:
    layer = Layer(Wallet(), ("w",), journal=True)
    work(memory, layer, 8)
    for key, value in journal_rows(memory, layer):
        for position in range(len(value)):
            memory[key] = flipped(value, position)
            report = replayed(memory, layer) if key != journal_rows(memory, layer)[0][0] else None
            if report is None:  # the first entry says where the journal begins
                with pytest.raises((DamagedHistory, ReplayError)):
                    replayed(memory, layer)
            else:
                (difference,) = report.differences
                assert "a journal entry is not as it was written" in difference.found[0]
        memory[key] = value
    require_same(replayed(memory, layer))


def test_any_flipped_byte_of_the_state_is_found(memory: Any) -> None:
    layer = Layer(Wallet(), ("w",), journal=True)
    work(memory, layer, 30)
    for key, value in list(state_rows(memory, layer)):
        for position in range(len(value)):
            memory[key] = flipped(value, position)
            (difference,) = replayed(memory, layer).differences
            assert difference.where == "the state at the end"
            assert difference.expected != difference.found
        memory[key] = value


def test_a_wrong_row_of_the_state_is_shown_with_both_values(db: Any, wallets: Layer) -> None:
    wallets.apply(db, Deposit("ann", 5))
    wallets.apply(db, Pay("ann", 1))
    db[wallets.keyspace.state + b"\x02balance\0\x02ann\0"] = b"\x07"
    db[wallets.keyspace.state + b"\x02balance\0\x02bob\0"] = b"\x08"
    assert [(one.expected, one.found) for one in replayed(db, wallets).differences] == [
        (("balance['ann'] = 7",), ("balance['ann'] = 4",)),
        (("balance['bob'] = 8",), ("balance['bob'] = nothing",)),
    ]


@pytest.mark.parametrize("dropped", ["applied", "refused", "the last"])
def test_a_dropped_input_is_found(db: Any, wallets: Layer, dropped: str) -> None:
    work(db, wallets, 60)
    rows = journal_rows(db, wallets)
    decoded = [(key, Entry.decode(value)) for key, value in rows]
    chosen = {
        "applied": [key for key, entry in decoded if entry.kind == "input" and entry.applied][3],
        "refused": next(key for key, entry in decoded if entry.kind == "input" and not entry.applied),
        "the last": rows[-1][0],
    }[dropped]
    del db[chosen]
    report = replayed(db, wallets)
    assert not report.same
    if dropped == "refused":
        (difference,) = report.differences
        assert difference.where == "the journal as a whole"
        assert difference.expected[0].startswith(f"{len(rows)} entries")
        assert difference.found[0].startswith(f"{len(rows) - 1} entries")


def test_an_input_that_was_put_in_is_found(db: Any, wallets: Layer) -> None:
    wallets.apply(db, Deposit("ann", 5))
    wallets.apply(db, Deposit("bob", 5))
    key, value = journal_rows(db, wallets)[-1]
    db[key[:-3] + bytes([key[-3] + 1]) + key[-2:]] = value
    assert not replayed(db, wallets).same


def test_an_entry_whose_number_was_changed_is_found(db: Any, wallets: Layer) -> None:
    wallets.apply(db, Deposit("ann", 5))
    key, value = journal_rows(db, wallets)[-1]
    del db[key]
    db[flipped(key, len(key) - 1)] = value
    (difference,) = replayed(db, wallets).differences
    assert "its key has been changed" in difference.found[0]


# ------------------------------------------------------------------------------------------------ code


class Changed(Wallet):
    """The wallet with one constant changed: it takes a cent too much of payments of 50 and more."""

    name = "Wallet"

    def pay(self, state: Any, actions: Actions, user: str, cents: int) -> int:
        return super().pay(state, actions, user, cents + (cents >= 50))


def test_a_changed_constant_is_found_at_the_first_input_where_it_matters(db: Any, wallets: Layer) -> None:
    wallets.apply(db, Deposit("ann", 100))
    wallets.apply(db, Pay("ann", 10))
    wallets.apply(db, Pay("ann", 50))
    wallets.apply(db, Pay("ann", 10))
    layer = Layer(Changed(), _same(wallets))
    report = replayed(db, layer)
    (difference,) = report.differences
    assert report.applied == 2
    assert "Pay(user='ann', cents=50)" in difference.input
    assert difference.expected == (
        "emits Tracked(2, Charge(user='ann', cents=50))",
        "writes balance['ann'] = 40",
        "writes payments[2] = Payment(user='ann', cents=50, status=<Status.PENDING: 'pending'>)",
    )
    assert difference.found[1] == "writes balance['ann'] = 39"
    assert "entry 4, versionstamp " in str(difference)


def _same(layer: Layer) -> Subspace:
    return Subspace((), layer.keyspace.prefix)


def test_new_code_is_judged_on_the_recorded_state_and_every_difference_shown(db: Any, wallets: Layer) -> None:
    wallets.apply(db, Deposit("ann", 110))
    for cents in (10, 50, 10, 20, 60, 60):
        try:
            wallets.apply(db, Pay("ann", cents))
        except TransitionError:
            assert cents == 60
    new = Layer(Changed(), _same(wallets))
    report = replay(wallets.context, history(db, wallets), new.context)
    assert (report.applied, report.refused, report.count) == (5, 2, 3)
    first, second, third = report.differences
    assert "cents=50" in first.input
    assert second.expected == ("refused: InsufficientFunds: ann has 20, not 60",)
    assert second.found == ("refused: InsufficientFunds: ann has 20, not 61",)
    assert second.found == third.found, "the state did not go astray with the new code"
    require_same(replay(wallets.context, history(db, wallets), Layer(Wallet(), _same(wallets)).context), 7)


def test_only_some_differences_are_kept_and_all_are_counted(memory: Any) -> None:
    layer = Layer(Wallet(), ("w",), journal=True)
    layer.apply(memory, Deposit("ann", 10_000))
    for _ in range(50):
        layer.apply(memory, Pay("ann", 50))
    report = replay(layer.context, history(memory, layer), Layer(Changed(), ("w",)).context)
    assert (report.count, len(report.differences)) == (50, 20)


class Failing(Wallet):
    name = "Wallet"

    def pay(self, state: Any, actions: Actions, user: str, cents: int) -> int:
        raise KeyError("a bug")


class Narrow(Wallet):
    """Knows no payments any more."""

    name = "Wallet"
    Input = Deposit  # type: ignore[assignment]


@pytest.mark.parametrize(
    ("machine", "found"), [(Failing, "failed: KeyError: 'a bug'"), (Narrow, "failed: NewerValue: Input of Narrow")]
)
def test_code_that_fails_on_an_input_or_cannot_read_it_differs(
    db: Any, wallets: Layer, machine: type[Wallet], found: str
) -> None:
    wallets.apply(db, Deposit("ann", 10))
    wallets.apply(db, Pay("ann", 5))
    new = Layer(machine(), _same(wallets)).context
    for report in (replay(new, history(db, wallets)), replay(wallets.context, history(db, wallets), new)):
        (difference,) = report.differences
        assert difference.found[0].startswith(found)
        assert "reply 1" in difference.expected


# --------------------------------------------------------------------------------- snapshots and files


def test_a_replay_begins_at_a_snapshot(db: Any, wallets: Layer, tmp_path: Path) -> None:
    work(db, wallets, 60)
    version = wallets.snapshot(db)
    assert wallets.snapshot(db, tmp_path / "snapshot") >= version
    work(db, wallets, 40, seed=1)
    later = replayed(db, wallets, str(version))
    require_same(later)
    assert 10 < later.applied < 41
    require_same(replayed(db, wallets, "latest"), later.applied + later.refused)
    require_same(replayed(db, wallets, str(tmp_path / "snapshot")), later.applied + later.refused)
    wallets.snapshot(db)
    require_same(replayed(db, wallets, "latest"), 0)


def test_after_old_entries_were_removed_a_replay_begins_at_the_snapshot() -> None:
    now = 1000.0
    db = phasm_fdb.open("memory:", clock=lambda: now)
    layer = Layer(Wallet(), ("w",), journal=True, journal_retention_seconds=100.0)
    work(db, layer, 40)
    version = layer.snapshot(db)
    work(db, layer, 20, seed=1)
    now += 200.0
    work(db, layer, 20, seed=2)
    layer.sweep(db)
    assert len(journal_rows(db, layer)) < 45
    with pytest.raises(ReplayError, match=rf"does not reach back to the beginning.*\({version}\)"):
        replayed(db, layer)
    require_same(replayed(db, layer, "latest"))


def test_a_large_state_makes_a_snapshot_of_many_rows(db: Any, subspace: Subspace) -> None:
    layer = Layer(Ledger(), subspace, journal=True)
    fill(db, layer, 20)
    layer.snapshot(db)
    assert layer.snapshots(db)[0].bytes > 200_000
    fill(db, layer, 12)
    require_same(replayed(db, layer, "latest"))


def test_a_snapshot_may_be_larger_than_a_transaction(memory: Any) -> None:
    layer = Layer(Ledger(), ("l",), journal=True)
    for number in (3, 7, 11):
        layer.apply(memory, Note(number, "x" * 30))
    layer.snapshot(memory)
    assert layer.snapshots(memory)[0].bytes > 12_000_000
    layer.apply(memory, Note(3, "x"))
    require_same(replayed(memory, layer, "latest"), 1)


def test_any_flipped_byte_of_a_snapshot_is_found(memory: Any) -> None:
    layer = Layer(Wallet(), ("w",), journal=True)
    work(memory, layer, 4)
    version = layer.snapshot(memory)
    key = layer.keyspace.snapshot_part(version, 0)
    whole = bytes(memory[key])
    for position in range(len(whole)):
        memory[key] = flipped(whole, position)
        with pytest.raises(ReplayError):
            replayed(memory, layer, "latest")
    memory[key] = whole[:-5]
    with pytest.raises(DamagedHistory, match="it has no end"):
        replayed(memory, layer, "latest")


def test_an_exported_history_is_replayed_without_its_database(db: Any, wallets: Layer, tmp_path: Path) -> None:
    work(db, wallets, 60)
    wallets.snapshot(db)
    work(db, wallets, 30, seed=1)
    wallets.export(db, tmp_path / "whole")
    wallets.export(db, tmp_path / "part", since="latest")
    elsewhere = Layer(Wallet(), ("another", "place"))
    whole = replay(elsewhere.context, history_of(tmp_path / "whole"))
    part = replay(elsewhere.context, history_of(tmp_path / "part"))
    require_same(whole)
    require_same(part)
    assert whole.applied > part.applied > 5
    assert not replay(Layer(Failing(), ("w",)).context, history_of(tmp_path / "whole")).same


def test_any_flipped_byte_of_an_exported_history_is_found(memory: Any, tmp_path: Path) -> None:
    layer = Layer(Wallet(), ("w",), journal=True)
    work(memory, layer, 4)
    file = tmp_path / "history"
    layer.export(memory, file)
    whole = file.read_bytes()
    for position in range(len(whole)):
        file.write_bytes(flipped(whole, position))
        with pytest.raises(ReplayError):
            replay(layer.context, history_of(file))
    for length in range(0, len(whole), 7):
        file.write_bytes(whole[:length])
        with pytest.raises(ReplayError):
            replay(layer.context, history_of(file))


def test_a_part_of_an_exported_history_that_is_missing_is_found(memory: Any, tmp_path: Path) -> None:
    layer = Layer(Wallet(), ("w",), journal=True)
    work(memory, layer, 10)
    file = tmp_path / "history"
    layer.export(memory, file)
    frames = list(msgpack.Unpacker(io.BytesIO(file.read_bytes())))
    assert len(frames) == 5, "the state before, the entries, the state behind them, its rows, the end"
    for missing in range(1, len(frames)):
        file.write_bytes(b"".join(msgpack.packb(frame) for frame in (*frames[:missing], *frames[missing + 1 :])))
        with pytest.raises(ReplayError):
            replay(layer.context, history_of(file))


# ------------------------------------------------------------------------------ what cannot be replayed


def test_a_snapshot_alone_is_no_history(db: Any, wallets: Layer, tmp_path: Path) -> None:
    work(db, wallets, 5)
    wallets.snapshot(db, tmp_path / "snapshot")
    with pytest.raises(ReplayError, match="is a snapshot, and not a history"):
        replay(wallets.context, history_of(tmp_path / "snapshot"))


@pytest.mark.parametrize(
    ("since", "message"),
    [(None, "the journal is empty"), ("latest", "there is no snapshot"), ("nowhere", "nowhere cannot be read")],
)
def test_no_journal_no_snapshot_no_file(db: Any, subspace: Subspace, since: str | None, message: str) -> None:
    layer = Layer(Wallet(), subspace)
    layer.apply(db, Deposit("ann", 1))
    with pytest.raises(ReplayError, match=message):
        replayed(db, layer, since)


def test_a_snapshot_that_is_not_there_is_named_with_those_that_are(db: Any, wallets: Layer) -> None:
    wallets.apply(db, Deposit("ann", 1))
    version = wallets.snapshot(db)
    with pytest.raises(ReplayError, match=f"there is no snapshot 7; there are {version}"):
        replayed(db, wallets, "7")


def test_a_journal_that_was_switched_on_late_begins_at_a_snapshot(db: Any, subspace: Subspace) -> None:
    Layer(Wallet(), subspace).apply(db, Deposit("ann", 1))
    layer = Layer(Wallet(), subspace, journal=True)
    layer.apply(db, Deposit("ann", 2))
    with pytest.raises(ReplayError, match="does not reach back to the beginning"):
        replayed(db, layer)
    layer.snapshot(db)
    layer.apply(db, Deposit("ann", 3))
    require_same(replayed(db, layer, "latest"), 1)


def test_a_gap_is_no_history(db: Any, subspace: Subspace) -> None:
    layer = Layer(Wallet(), subspace, journal=True)
    layer.apply(db, Deposit("ann", 1))
    layer.snapshot(db)
    layer.stop_journal(db)
    Layer(Wallet(), subspace).apply(db, Deposit("ann", 2))
    layer.apply(db, Deposit("ann", 3))
    for since in (None, "latest"):
        with pytest.raises(ReplayError, match="was switched on again at versionstamp"):
            replayed(db, layer, since)
    layer.snapshot(db)
    layer.apply(db, Deposit("ann", 4))
    require_same(replayed(db, layer, "latest"), 1)


def test_another_machines_history_is_refused(db: Any, wallets: Layer, tmp_path: Path) -> None:
    work(db, wallets, 5)
    wallets.export(db, tmp_path / "history")
    with pytest.raises(ReplayError, match="one of the machine Wallet, and not of Queue"):
        replay(Layer(Queue(), ("q",)).context, history_of(tmp_path / "history"))
