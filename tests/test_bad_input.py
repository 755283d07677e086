"""What is wrong with an input, an action, a machine or a setting is named, and leaves nothing behind."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import pytest

import phasm_fdb
from phasm_fdb import (
    DuplicateAction,
    Handlers,
    InputError,
    Layer,
    MachineDefinitionError,
    Normal,
    StateMachine,
    Subspace,
    Tracked,
    TrackedActionCompleted,
    TransitionError,
    Untracked,
    Worker,
)
from phasm_fdb.errors import ActionsFull, CodecError, DatabaseError
from phasm_fdb.keys import pack_element
from phasm_fdb.keyspace import ID_MARGIN
from phasm_fdb.runtime import Retry
from tests.machines import (
    Charged,
    Deposit,
    Done,
    Job,
    NoteState,
    Pay,
    Run,
    Wallet,
)
from tests.reading import everything


@dataclass(frozen=True)
class Refund:
    user: str


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        (Refund("ann"), r"Input of Wallet: Refund\(user='ann'\) is not one of Deposit, Pay"),
        (Pay("ann", "500"), r"Pay\.cents: '500' is not an int"),  # type: ignore[arg-type]
        (Normal(Pay(7, 500)), r"Pay\.user: 7 is not a str"),  # type: ignore[arg-type]
        (None, "None is not one of"),
    ],
)
def test_an_input_that_is_not_declared_is_named(db: Any, subspace: Subspace, payload: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Layer(Wallet(), subspace).apply(db, payload)
    assert everything(db, subspace) == {}


def test_a_result_that_is_not_declared_is_named(db: Any, wallets: Layer) -> None:
    wallets.apply(db, Deposit("ann", 5))
    wallets.apply(db, Pay("ann", 5))
    with pytest.raises(InputError, match=r"TrackedResult of .*Wallet: 'ok' is not one of Charged, Declined"):
        wallets.complete(db, 1, "ok")
    with pytest.raises(InputError, match=r"Charged\.receipt: 5 is not a str"):
        wallets.complete(db, 1, Charged(5))  # type: ignore[arg-type]
    assert len(list(wallets.pending(db))) == 1


class Emits(StateMachine):
    State = NoteState
    Input = Job
    TrackedAction = Run
    TrackedResult = Done
    max_actions = 2
    Reply = int

    def __init__(self, *emitted: Any, reply: Any = 0) -> None:
        self.emitted, self.reply = emitted, reply

    def stf(self, state: Any, input: Any, actions: Any) -> Any:
        state.note.set("written")
        for action in self.emitted:
            actions.add(action)
        return self.reply


@pytest.mark.parametrize(
    ("machine", "error", "message"),
    [
        (Emits(Tracked(1, "run")), InputError, "TrackedAction of Emits: 'run' is not one of Run"),
        (Emits(Untracked(Run("a"))), InputError, "UntrackedAction of Emits is not declared"),
        (Emits(Run("a")), InputError, r"wrap it in Tracked\(id, action\) or Untracked\(action\)"),
        (Emits(Tracked([1], Run("a"))), InputError, r"id of an action: \[1\] cannot be a key"),
        (Emits(Tracked(object(), Run("a"))), CodecError, "cannot be a key"),
        (Emits(Tracked(1, Run("a"), ordering_key={})), CodecError, "cannot be a key"),
        (Emits(Tracked(1, Run("a")), Tracked(1, Run("b"))), DuplicateAction, "id 1 is pending already"),
        (Emits(*[Tracked(id, Run("a")) for id in range(3)]), ActionsFull, "at most 2 actions"),
        (Emits(reply="x"), CodecError, "Reply of Emits: 'x' is not an int"),
    ],
)
def test_a_transition_that_emits_what_it_may_not_leaves_nothing(
    db: Any, subspace: Subspace, machine: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        Layer(machine, subspace).apply(db, Job("a"), request_id="r")
    assert everything(db, subspace) == {}


def test_a_full_container_is_a_rejection_of_the_input() -> None:
    assert issubclass(ActionsFull, TransitionError)


def test_a_request_id_that_is_no_key_is_named(db: Any, subspace: Subspace) -> None:
    with pytest.raises(CodecError, match="cannot be a key"):
        Layer(Wallet(), subspace).apply(db, Deposit("ann", 1), request_id={"a": 1})


@pytest.mark.parametrize("at", [1.5e12, float("nan"), True, -1, 2**53])
def test_an_inputs_time_is_integer_milliseconds(db: Any, subspace: Subspace, at: Any) -> None:
    layer = Layer(Emits(Tracked(1, Run("a"), after=1)), subspace)
    doors = [
        lambda: layer.apply(db, Normal(Job("a"), at=at)),
        lambda: layer.submit(db, Normal(Job("a"), at=at)),
        lambda: asyncio.run(layer.call(db, Normal(Job("a"), at=at))),
        lambda: layer.apply(db, TrackedActionCompleted(1, Done(), at=at)),
    ]
    for door in doors:
        with pytest.raises(InputError, match=r"`at`, is .* integer milliseconds"):
            door()
    assert everything(db, subspace) == {}


class Timed(Wallet):
    def stf(self, state: Any, input: Any, actions: Any) -> Any:
        super().stf(state, input, actions)
        return input.at


def test_a_completion_that_says_when_it_came_is_believed(db: Any, subspace: Subspace) -> None:
    layer = Layer(Timed(), subspace)
    layer.apply(db, Deposit("ann", 5))
    layer.apply(db, Pay("ann", 5))
    assert layer.apply(db, TrackedActionCompleted(1, Charged("c"), at=1_234)).reply == 1_234


class NoStf(StateMachine):
    State = NoteState


class NoState(StateMachine):
    def stf(self, state: Any, input: Any, actions: Any) -> None: ...


class SetInput(StateMachine):
    State = NoteState
    Input = set[int]

    def stf(self, state: Any, input: Any, actions: Any) -> None: ...


@pytest.mark.parametrize(
    ("machine", "message"),
    [
        (NoStf(), "NoStf has no `stf`"),
        (NoState(), r"NoState\.State is None"),
        (SetInput(), r"Input of SetInput: set\[int\] has no order"),
        (Wallet, r"pass a machine, Wallet\(\)"),
        ("wallet", "is not a StateMachine"),
    ],
)
def test_a_machine_that_is_not_well_formed_is_refused(machine: Any, message: str) -> None:
    with pytest.raises(MachineDefinitionError, match=message):
        Layer(machine, Subspace(("x",)))


@pytest.mark.parametrize("subspace", [Subspace(), (), None, b"raw"])
def test_a_layer_needs_a_subspace_of_its_own(subspace: Any) -> None:
    with pytest.raises(DatabaseError, match="subspace"):
        Layer(Wallet(), subspace)


@pytest.mark.parametrize("settings", [{"lanes": 0}, {"lanes": 10_001}, {"receipt_ttl_seconds": 0}])
def test_a_setting_out_of_its_range_is_named(settings: Any) -> None:
    with pytest.raises(MachineDefinitionError, match=next(iter(settings))):
        Layer(Wallet(), ("x",), **settings)


@pytest.mark.parametrize(
    ("use", "message"),
    [
        (lambda layer, db: layer.submit(db, Job("x" * 100_000), request_id="r"), "the input takes 100"),
        (lambda layer, db: layer.apply(db, Job("x" * 100_000), request_id="r"), "the action 1 takes 100"),
    ],
)
def test_what_does_not_fit_in_one_row_is_named(db: Any, subspace: Subspace, use: Any, message: str) -> None:
    class Echo(StateMachine):
        State = NoteState
        Input = Job
        TrackedAction = Run

        def stf(self, state: Any, input: Any, actions: Any) -> None:
            actions.add(Tracked(1, Run(input.payload.name)))

    with pytest.raises(CodecError, match=message):
        use(Layer(Echo(), subspace), db)
    assert everything(db, subspace) == {}


class Chatty(StateMachine):
    """Emits an action whose id is as long as it is told, and cancels it."""

    State = NoteState
    Input = int
    TrackedAction, TrackedResult = Run, Done

    def stf(self, state: NoteState, input: Any, actions: Any) -> None:
        id = "i" * abs(input.payload)
        if input.payload > 0:
            actions.add(Tracked(id, Run("it")))
        else:
            actions.cancel(id)


def test_an_id_too_long_for_a_key_is_named() -> None:
    db = phasm_fdb.open("memory:")
    chatty = Layer(Chatty(), Subspace(("chatty",)))
    chatty.apply(db, 9_900)
    before = everything(db, Subspace(("chatty",)))
    for length in (10_000, -10_000):
        with pytest.raises(CodecError, match=r"the id of an action makes a key of .* and FoundationDB takes"):
            chatty.apply(db, length, request_id="r-1")
    with pytest.raises(CodecError, match=r"the request id makes a key of .* bytes"):
        chatty.apply(db, 1, request_id="r" * 10_000)
    with pytest.raises(CodecError, match="the request id makes a key of"):
        chatty.submit(db, 1, request_id="r" * 10_000)
    assert everything(db, Subspace(("chatty",))) == before


def test_an_id_as_long_as_keys_allow_ends_as_any_other() -> None:
    """The other rows of an id are longer than the one that is looked at."""
    db = phasm_fdb.open("memory:")
    chatty = Layer(Chatty(), Subspace(("chatty",)))
    longest = 10_000 - ID_MARGIN - len(chatty.keyspace.id_row(pack_element("")))
    request_id = "r" * (10_000 - ID_MARGIN - len(chatty.keyspace.receipt(pack_element(""))) - 1)
    chatty.apply(db, longest, request_id=request_id)
    handlers = Handlers()

    @handlers.on(Run, retry=Retry(max_attempts=1))
    async def run(action: Run, attempt: Any) -> Done:
        raise ConnectionError("nobody answers")

    async def work() -> None:
        async with Worker(db, chatty, handlers):
            while not chatty.dead_letters(db):
                await asyncio.sleep(0)

    asyncio.run(work())
    (letter,) = chatty.dead_letters(db)
    assert letter.id == "i" * longest
    assert chatty.sweep(db) == 0 and chatty.apply(db, 1, request_id=request_id).repeated
