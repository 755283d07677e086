"""The double run and the check before the commit: what they find, what they say, and that nothing is written then."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

import phasm_fdb
from phasm_fdb import (
    Actions,
    Counter,
    FDBError,
    InvariantViolation,
    Layer,
    MachineDefinitionError,
    Map,
    NondeterminismError,
    Normal,
    State,
    StateMachine,
    Subspace,
    Tracked,
    TrackedActionCompleted,
    TransitionError,
    Untracked,
    Value,
    transactional,
)
from phasm_fdb.describing import ABSENT, Change
from phasm_fdb.runtime import Handlers
from tests.machines import (
    Charge,
    Charged,
    Deposit,
    Done,
    InsufficientFunds,
    Job,
    Pay,
    Queue,
    Strict,
    StrictIncremental,
    Wallet,
    Withdraw,
)
from tests.reading import everything
from tests.runtime.virtual import World, in_virtual_time


@dataclass(frozen=True)
class Do:
    what: str


@dataclass(frozen=True)
class Ring:
    number: int


class FickleState(State):
    rows = Map(str, int)
    count = Counter()


class Fickle(StateMachine):
    """Counts its runs in itself, which a machine must not, and lets that decide."""

    State = FickleState
    Input = Do | Ring
    TrackedAction = Ring
    TrackedResult = Done
    UntrackedAction = Ring

    def __init__(self) -> None:
        self.runs = 0

    def stf(self, state: Any, input: Any, actions: Actions) -> Any:
        self.runs += 1
        run = self.runs
        match input.payload.what:
            case "reply":
                return run
            case "write":
                state.rows["a"] = run
            case "key":
                state.rows[f"run {run}"] = 1
            case "clear":
                state.rows.clear(prefix=f"run {run}")
            case "add":
                state.count.add(run)
            case "id":
                actions.add(Tracked(run, Ring(0)))
            case "action":
                actions.add(Tracked(0, Ring(run)))
            case "order":
                actions.add(Tracked(0, Ring(0), ordering_key=run))
            case "untracked":
                actions.add(Untracked(Ring(run)))
            case "timer":
                actions.later(0, Ring(0), after=run)
            case "cancel":
                actions.cancel(run)
            case "refuse twice":
                raise TransitionError(f"run {run}")
            case "refuse":
                if run % 2 == 0:
                    raise TransitionError("even")
            case "fail":
                assert run % 2 == 1, "even"
        return None


FICKLE = {
    "reply": ("first:  reply 1", "second: reply 2"),
    "write": ("first:  writes rows['a'] = 1", "second: writes rows['a'] = 2"),
    "key": ("first:  writes rows['run 1'] = 1", "second: writes rows['run 2'] = 1"),
    "clear": ("first:  clears from rows[", "second: clears from rows["),
    "add": ("first:  adds 1 to count", "second: adds 2 to count"),
    "id": ("first:  emits Tracked(1, Ring(number=0))", "second: emits Tracked(2, Ring(number=0))"),
    "action": ("first:  emits Tracked(0, Ring(number=1))", "second: emits Tracked(0, Ring(number=2))"),
    "order": ("Ring(number=0), ordering_key=1)", "Ring(number=0), ordering_key=2)"),
    "untracked": ("first:  emits Untracked(Ring(number=1))", "second: emits Untracked(Ring(number=2))"),
    "timer": ("emits Later(0, Ring(number=0), after=1)", "emits Later(0, Ring(number=0), after=2)"),
    "cancel": ("first:  cancels 1", "second: cancels 2"),
    "refuse twice": ("first:  refused: TransitionError: run 1", "second: refused: TransitionError: run 2"),
    "refuse": ("first:  reply None", "second: refused: TransitionError: even"),
    "fail": ("the second time it failed: AssertionError: even", "Do(what='fail')"),
}


@pytest.mark.parametrize("what", FICKLE)
def test_two_runs_that_differ_are_an_error_that_shows_how_and_nothing_is_written(
    db: Any, subspace: Subspace, what: str
) -> None:
    before = everything(db, subspace)
    layer = Layer(Fickle(), subspace, verify=1.0, journal=True)
    with pytest.raises(NondeterminismError) as caught:
        layer.apply(db, Do(what), request_id="r")
    for text in FICKLE[what]:
        assert text in str(caught.value)
    assert f"{Do(what)!r}" in str(caught.value)
    assert everything(db, subspace) == before == {}


def test_a_sound_machine_runs_twice_unnoticed(db: Any, subspace: Subspace) -> None:
    plain, verified = (Layer(Wallet(), subspace[name], verify=share) for name, share in (("p", 0.0), ("v", 1.0)))
    for layer in (plain, verified):
        layer.apply(db, Deposit("ann", 10))
        assert layer.apply(db, Pay("ann", 4)).tracked == (Tracked(1, Charge("ann", 4)),)
        with pytest.raises(InsufficientFunds):
            layer.apply(db, Pay("ann", 40))
        assert layer.apply(db, Pay("ann", 4)).reply == 2
        layer.complete(db, 1, Charged("r"))
        layer.apply(db, Withdraw(2))
        assert layer.view(db).balance["ann"] == 2
        assert len(list(layer.view(db).history)) == 3


def test_ids_from_versionstamps_are_the_same_in_both_runs(db: Any, subspace: Subspace) -> None:
    layer = Layer(Queue(), subspace, verify=1.0)

    @transactional
    def two(tr: Any) -> None:
        layer.apply(tr, Job("a"))
        layer.apply(tr, Job("b"))

    two(db)
    first, second = layer.pending(db)
    layer.complete(db, first.id, Done())
    assert list(layer.view(db).jobs.items()) == [(second.id, Job("b"))]


def test_a_mismatch_in_a_callers_transaction_leaves_the_rest_of_it(db: Any, subspace: Subspace) -> None:
    layer = Layer(Fickle(), subspace["layer"], verify=1.0)

    @transactional
    def body(tr: Any) -> None:
        tr[subspace.pack(("mine",))] = b"kept"
        with pytest.raises(NondeterminismError):
            layer.apply(tr, Do("write"))

    body(db)
    assert everything(db, subspace) == {subspace.pack(("mine",)): b"kept"}


class Page(State):
    text = Value(str, "")


class Rewrites(StateMachine):
    """Replaces its text, and reads it back."""

    State = Page
    Input = int
    Reply = int

    def stf(self, state: Page, input: Normal[int], actions: Actions) -> int:
        state.text.set("x" * input.payload)
        return len(state.text.get())


def test_a_split_value_that_is_replaced_reads_the_same_in_both_runs(db: Any, subspace: Subspace) -> None:
    layer = Layer(Rewrites(), subspace, verify=1.0)
    assert [layer.apply(db, size).reply for size in (290_000, 110_000, 5, 200_000)] == [290_000, 110_000, 5, 200_000]


def test_an_error_of_the_database_in_the_second_run_is_no_mismatch() -> None:
    class Breaks(Rewrites):
        runs = 0

        def stf(self, state: Page, input: Normal[int], actions: Actions) -> int:
            Breaks.runs += 1
            if Breaks.runs == 2:
                raise FDBError(1037)  # as any read may
            return super().stf(state, input, actions)

    assert Layer(Breaks(), ("b",), verify=1.0).apply(phasm_fdb.open("memory:"), 5).reply == 5
    assert Breaks.runs == 4


@in_virtual_time
async def test_in_a_batch_a_mismatch_goes_to_the_dead_letters_and_its_neighbours_are_applied(world: World) -> None:
    layer = world.layer(Fickle(), verify=1.0)
    for number, what in enumerate(("fine", "write", "fine")):
        layer.submit(world.db, Do(what), request_id=number)
    async with world.worker(layer, Handlers()):
        await world.until(lambda: bool(layer.dead_letters(world.db)))
        await layer.outcome(world.db, 0)
        await layer.outcome(world.db, 2)
    (letter,) = layer.dead_letters(world.db)
    assert letter.payload == Do("write")
    assert letter.cause.startswith("NondeterminismError: Fickle.stf ran twice")
    assert dict(layer.view(world.db).rows.items()) == {}


def test_the_share_is_chosen_by_request_id(subspace: Subspace) -> None:
    verifier = Layer(Wallet(), ("w",), verify=0.25).context.verifier
    assert verifier is not None
    inputs = [Normal(Deposit("ann", 1), 0, request_id) for request_id in range(4000)]
    chosen = [verifier.chooses(input) for input in inputs]
    assert 900 < sum(chosen) < 1100
    assert chosen == [verifier.chooses(input) for input in inputs], "a retry is treated the same"
    completions = [TrackedActionCompleted(id, Charged("r")) for id in range(4000)]
    assert 900 < sum(map(verifier.chooses, completions)) < 1100
    everything_ = Layer(Wallet(), ("w",), verify=1.0).context.verifier
    assert everything_ is not None and all(map(everything_.chooses, inputs))
    assert Layer(Wallet(), ("w",)).context.verifier is None


def test_only_the_chosen_share_runs_twice(memory: Any) -> None:
    machine = Fickle()
    layer = Layer(machine, ("f",), verify=0.25)
    for number in range(400):
        layer.apply(memory, Do("nothing"), request_id=number)
    assert 460 < machine.runs < 540


@pytest.mark.parametrize("share", [-0.1, 1.5, float("nan")])
def test_a_share_is_between_0_and_1(share: float) -> None:
    with pytest.raises(MachineDefinitionError, match=r"verify is .* from 0 to 1"):
        Layer(Wallet(), ("w",), verify=share)


# ----------------------------------------------------------------------------------------------- checked


@pytest.mark.parametrize("machine", [Strict, StrictIncremental])
def test_a_violation_holds_the_input_and_the_difference(db: Any, subspace: Subspace, machine: type[Strict]) -> None:
    layer = Layer(machine(), subspace, checked=True, journal=True)
    layer.apply(db, Deposit("ann", 5))
    before = everything(db, subspace)
    with pytest.raises(InvariantViolation) as caught:
        layer.apply(db, Pay("ann", 7), request_id="r")
    violation = caught.value
    assert isinstance(violation.input, Normal)
    assert violation.input.payload == Pay("ann", 7)
    assert violation.difference == (Change("balance['ann']", 5, -2),)
    assert violation.__notes__[1:] == ["  balance['ann']: 5 -> -2"]
    assert everything(db, subspace) == before, "neither state nor journal"


class Broom(Wallet):
    """Lets a deposit of 0 sweep everything away, and forbids that."""

    name = "Broom"

    def stf(self, state: Any, input: Any, actions: Any) -> Any:
        if isinstance(input, Normal) and input.payload == Deposit("", 0):
            state.balance.clear()
            state.next_id.add(3)
            return None
        return super().stf(state, input, actions)

    def check_invariants(self, state: Any) -> None:
        assert "ann" in state.balance, "ann is gone"


def test_the_difference_names_rows_of_cleared_ranges_and_counters(db: Any, subspace: Subspace) -> None:
    layer = Layer(Broom(), subspace, checked=True)
    layer.apply(db, Deposit("ann", 5))
    layer.apply(db, Deposit("bob", 6))
    with pytest.raises(InvariantViolation, match="ann is gone") as caught:
        layer.apply(db, Deposit("", 0))
    assert caught.value.difference == (
        Change("balance['ann']", 5, ABSENT),
        Change("balance['bob']", 6, ABSENT),
        Change("next_id", ABSENT, 3),
    )
    assert str(caught.value.difference[0]) == "balance['ann']: 5 -> nothing"


@in_virtual_time
async def test_in_a_batch_a_violation_goes_to_the_dead_letters_and_its_neighbours_are_applied(world: World) -> None:
    layer = world.layer(Strict(), checked=True)
    for number, payload in enumerate((Deposit("ann", 5), Pay("ann", 7), Deposit("ann", 1))):
        layer.submit(world.db, payload, request_id=number, ordering_key="k")
    async with world.worker(layer, Handlers()):
        await layer.outcome(world.db, 2)
    (letter,) = layer.dead_letters(world.db)
    assert letter.cause == "InvariantViolation: ann has -2"
    assert layer.view(world.db).balance["ann"] == 6
