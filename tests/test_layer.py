"""A machine as a layer: applied exactly once, whole or not at all, alone or inside a caller's transaction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from fdb.tuple import Versionstamp

import phasm_fdb
from phasm_fdb import (
    Applied,
    DuplicateAction,
    FDBError,
    InputError,
    InvariantViolation,
    KeyspaceError,
    Layer,
    MachineDefinitionError,
    Normal,
    ReadOnlyError,
    StaleCompletion,
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
from phasm_fdb.errors import ActionsFull, CodecError, DatabaseError
from tests.machines import (
    AsyncWallet,
    Charge,
    Charged,
    CheckCharge,
    Crash,
    Declined,
    Deposit,
    Done,
    InsufficientFunds,
    Job,
    Notify,
    Pay,
    Payment,
    Queue,
    Run,
    Status,
    Strict,
    StrictIncremental,
    Wallet,
    Withdraw,
)


def everything(db: Any, subspace: Subspace) -> dict[bytes, bytes]:
    span = subspace.range(())
    return {row.key: row.value for row in db.create_transaction().get_range(span.start, span.stop)}


@pytest.fixture(params=[Wallet, AsyncWallet])
def wallets(request: pytest.FixtureRequest, subspace: Subspace) -> Layer:
    """The same machine, once with plain and once with coroutine functions."""
    return Layer(request.param(), subspace)


def test_an_input_changes_state_emits_actions_and_replies(db: Any, wallets: Layer) -> None:
    assert wallets.apply(db, Deposit("ann", 500)).reply == 500
    applied = wallets.apply(db, Pay("ann", 200))
    assert applied.reply == 1
    assert applied.tracked == (Tracked(1, Charge("ann", 200)),)
    assert applied.untracked == (Untracked(Notify("ann", "paying")),)
    assert not applied.repeated
    assert list(wallets.pending(db)) == [Tracked(1, Charge("ann", 200))]

    done = wallets.complete(db, 1, Charged("r-1"))
    assert done.reply is True
    assert done.untracked == (Untracked(Notify("ann", "paid")),)
    assert list(wallets.pending(db)) == []
    view = wallets.view(db)
    assert view.balance["ann"] == 300
    assert view.payments[1] == Payment("ann", 200, Status.PAID)
    assert list(view.history) == ["deposit ann", "asked ann"]
    wallets.check(db)


def test_a_rejected_input_leaves_nothing_behind(db: Any, wallets: Layer, subspace: Subspace) -> None:
    wallets.apply(db, Deposit("ann", 5))
    before = everything(db, subspace)
    with pytest.raises(InsufficientFunds):
        wallets.apply(db, Pay("ann", 6), request_id="r")
    with pytest.raises(ZeroDivisionError):
        wallets.apply(db, Crash("ann"))
    assert everything(db, subspace) == before
    wallets.apply(db, Deposit("ann", 1))
    assert wallets.apply(db, Pay("ann", 6), request_id="r").reply == 1, "the request id was still unused"


def test_a_rejection_inside_a_callers_transaction_leaves_the_rest_of_it(db: Any, wallets: Layer, subspace: Any) -> None:
    mine = subspace.pack(("zz", "mine"))
    wallets.apply(db, Deposit("ann", 5))

    @transactional
    def body(tr: Any) -> None:
        tr[mine] = b"kept"
        wallets.apply(tr, Deposit("bob", 1))
        with pytest.raises(InsufficientFunds):
            wallets.apply(tr, Pay("ann", 6))
        assert wallets.view(tr).balance["ann"] == 5
        assert wallets.view(tr).balance["bob"] == 1
        assert list(wallets.pending(tr)) == []

    body(db)
    assert db[mine] == b"kept"
    assert dict(wallets.view(db).balance.items()) == {"ann": 5, "bob": 1}


# ------------------------------------------------------------------------------------------- exactly once


def test_a_repeated_request_id_returns_the_first_outcome(db: Any, wallets: Layer) -> None:
    wallets.apply(db, Deposit("ann", 500), request_id="d")
    first = wallets.apply(db, Pay("ann", 200), request_id=("cart", 7))
    again = wallets.apply(db, Pay("ann", 200), request_id=("cart", 7))
    assert again.repeated
    assert (again.reply, again.tracked, again.untracked) == (first.reply, first.tracked, first.untracked)
    assert wallets.view(db).balance["ann"] == 300
    assert len(list(wallets.pending(db))) == 1
    other = Layer(Wallet(), wallets.keyspace_subspace) if hasattr(wallets, "keyspace_subspace") else wallets
    assert other.apply(db, Pay("ann", 200), request_id=("cart", 7)).repeated


def test_a_repeated_request_id_inside_one_transaction(db: Any, wallets: Layer) -> None:
    wallets.apply(db, Deposit("ann", 500))

    @transactional
    def body(tr: Any) -> tuple[Applied, Applied]:
        return wallets.apply(tr, Pay("ann", 200), "r"), wallets.apply(tr, Pay("ann", 200), "r")

    first, second = body(db)
    assert (first.repeated, second.repeated) == (False, True)
    assert second.tracked == first.tracked
    assert wallets.view(db).balance["ann"] == 300
    assert wallets.apply(db, Pay("ann", 200), "r").repeated


class UnknownResult:
    """A database whose first commits apply and then say 1021, as a lost reply does."""

    def __init__(self, db: Any, times: int, applied: bool) -> None:
        self.db, self.times, self.applied = db, times, applied

    def create_transaction(self) -> Any:
        tr = self.db.create_transaction()
        commit = tr.commit

        def unknown() -> Any:
            if self.times == 0:
                return commit()
            self.times -= 1
            if self.applied:
                commit().wait()
            raise FDBError(1021)

        tr.commit = unknown
        return tr


class Patchable:
    """Gives a slotted transaction attributes that a test can replace."""

    def __init__(self, tr: Any) -> None:
        self.__dict__["tr"] = tr

    def __getattr__(self, name: str) -> Any:
        return getattr(self.tr, name)


@pytest.fixture
def unknown(db: Any) -> Any:
    class Wrapped:
        def create_transaction(self) -> Any:
            return Patchable(db.create_transaction())

    return lambda times, applied: UnknownResult(Wrapped(), times, applied)


@pytest.mark.parametrize("request_id", [None, "r-1"])
@pytest.mark.parametrize("applied", [True, False])
@pytest.mark.parametrize("times", [1, 2])
def test_an_unknown_commit_is_applied_once(
    db: Any, wallets: Layer, unknown: Any, request_id: Any, applied: bool, times: int
) -> None:
    wallets.apply(db, Deposit("ann", 500))
    outcome = wallets.apply(unknown(times, applied), Pay("ann", 200), request_id)
    assert outcome.reply == 1
    assert outcome.tracked == (Tracked(1, Charge("ann", 200)),)
    assert wallets.view(db).balance["ann"] == 300
    assert len(list(wallets.pending(db))) == 1

    done = wallets.complete(unknown(times, applied), 1, Declined())
    assert done.untracked == (Untracked(Notify("ann", "declined")),)
    assert wallets.view(db).balance["ann"] == 500


def test_receipts_expire_and_are_swept_in_batches(db: Any, subspace: Subspace) -> None:
    now = [1_000_000.0]
    wallets = Layer(Wallet(), subspace, clock=lambda: now[0], receipt_ttl_seconds=3600)
    for number in range(5):
        wallets.apply(db, Deposit("ann", 1), request_id=number)
    wallets.apply(db, Deposit("ann", 1))
    assert wallets.sweep(db) == 0
    now[0] += 3600
    assert wallets.apply(db, Deposit("ann", 1), request_id=0).repeated, "kept for at least its time"
    now[0] += 2 * 3600
    assert wallets.sweep(db, batch=2) == 5
    assert not wallets.apply(db, Deposit("ann", 1), request_id=0).repeated
    now[0] += 10 * 3600
    wallets.sweep(db)
    kinds = {phasm_fdb.keys.unpack(key[len(subspace.key()) :])[0] for key in everything(db, subspace)}
    assert kinds == {"m", "s"}, "no receipt of any kind is left"


# --------------------------------------------------------------------------------------- tracked actions


def test_pending_actions_come_in_commit_order_over_all_lanes(db: Any, wallets: Layer) -> None:
    wallets.apply(db, Deposit("ann", 10_000))
    for _ in range(20):
        wallets.apply(db, Pay("ann", 1))
    assert [tracked.id for tracked in wallets.pending(db)] == list(range(1, 21))
    wallets.complete(db, 7, Charged("x"))
    assert [tracked.id for tracked in wallets.pending(db)] == [id for id in range(1, 21) if id != 7]


def test_a_completion_of_what_is_not_pending_is_stale(db: Any, wallets: Layer, subspace: Subspace) -> None:
    wallets.apply(db, Deposit("ann", 500))
    wallets.apply(db, Pay("ann", 200))
    wallets.complete(db, 1, Charged("x"))
    before = everything(db, subspace)
    for id in (1, 2, "1", (1,)):
        with pytest.raises(StaleCompletion) as caught:
            wallets.complete(db, id, Charged("x"))
        assert caught.value.id == id
    assert everything(db, subspace) == before


def test_a_cancelled_action_is_not_pending_any_more(db: Any, wallets: Layer) -> None:
    wallets.apply(db, Deposit("ann", 500))
    wallets.apply(db, Pay("ann", 200))
    wallets.apply(db, Withdraw(1))
    wallets.apply(db, Withdraw(1))
    assert list(wallets.pending(db)) == []
    with pytest.raises(StaleCompletion):
        wallets.complete(db, 1, Charged("x"))


class AnyIdState(State):
    note = Value(str, "")


class AnyId(StateMachine):
    """Emits one action under the id that it is told, and cancels or completes it."""

    State = AnyIdState
    Input = Job | Run | Deposit
    TrackedAction = Run
    TrackedResult = Done

    def __init__(self, *ids: Any) -> None:
        self.ids = ids

    def stf(self, state: Any, input: Any, actions: Any) -> None:
        match input:
            case Normal(Job(name)):
                for id in self.ids:
                    actions.add(Tracked(id, Run(name)))
            case Normal(Run()):
                for id in self.ids:
                    actions.cancel(id)
            case TrackedActionCompleted(id, _) if state.note.get() == "again":
                actions.add(Tracked(id, Run("again")))


@pytest.mark.parametrize("id", [0, -5, "x", b"\0", (1, "a", None), True, 1.5])
def test_any_tuple_layer_value_is_an_id(db: Any, subspace: Subspace, id: Any) -> None:
    layer = Layer(AnyId(id), subspace)
    layer.apply(db, Job("a"))
    (pending,) = layer.pending(db)
    assert pending == Tracked(id, Run("a"))
    with pytest.raises(DuplicateAction) as caught:
        layer.apply(db, Job("b"))
    assert caught.value.id == id
    layer.complete(db, id, Done())
    assert list(layer.pending(db)) == []


def test_a_completing_transition_may_emit_its_own_id_again(db: Any, subspace: Subspace) -> None:
    layer = Layer(AnyId(5), subspace)
    layer.apply(db, Job("a"))

    @transactional
    def again(tr: Any) -> None:
        state = AnyIdState.over(tr, _StateSpace(layer))
        state.note.set("again")
        state.flush(tr)

    again(db)
    layer.complete(db, 5, Done())
    assert list(layer.pending(db)) == [Tracked(5, Run("again"))]
    layer.complete(db, 5, Done())
    assert list(layer.pending(db)) == [Tracked(5, Run("again"))]


class _StateSpace:
    """The layer's own subspace, to write to its state behind its back."""

    def __init__(self, layer: Layer) -> None:
        self._space = Subspace((), layer.keyspace.prefix)

    def pack(self, key: tuple[Any, ...]) -> bytes:
        return self._space.pack(key)  # type: ignore[no-any-return]


def test_everything_composes_in_one_transaction(db: Any, wallets: Layer) -> None:
    """Emitted, read back, duplicated, cancelled and completed before the commit."""
    wallets.apply(db, Deposit("ann", 1000))
    wallets.apply(db, Pay("ann", 1))

    @transactional
    def body(tr: Any) -> None:
        wallets.apply(tr, Pay("ann", 2))
        wallets.apply(tr, Pay("ann", 3))
        assert [one.id for one in wallets.pending(tr)] == [1, 2, 3]
        wallets.complete(tr, 2, Charged("x"))
        wallets.complete(tr, 1, Charged("x"))
        with pytest.raises(StaleCompletion):
            wallets.complete(tr, 2, Charged("x"))
        assert [one.id for one in wallets.pending(tr)] == [3]
        wallets.apply(tr, Pay("ann", 4))
        assert [one.id for one in wallets.restore(tr)] == [3, 4]
        wallets.check(tr)

    body(db)
    assert [one.id for one in wallets.pending(db)] == [3, 4]
    wallets.complete(db, 3, Charged("x"))
    wallets.sweep(db)
    assert [one.id for one in wallets.pending(db)] == [4]
    with pytest.raises(StaleCompletion):
        wallets.complete(db, 2, Charged("x"))


def test_a_callers_transaction_that_is_run_again_starts_over(db: Any, wallets: Layer) -> None:
    wallets.apply(db, Deposit("ann", 1000))
    runs = []

    @transactional
    def body(tr: Any) -> list[Any]:
        runs.append(1)
        wallets.apply(tr, Pay("ann", 2))
        if len(runs) == 1:
            wallets.apply(db, Deposit("ann", 1))
        return [one.id for one in wallets.pending(tr)]

    assert body(db) == [1]
    assert len(runs) == 2
    assert [one.id for one in wallets.pending(db)] == [1]


# --------------------------------------------------------------------------------------- versionstamp ids


def test_ids_that_conflict_with_nobody(db: Any, subspace: Subspace) -> None:
    queue = Layer(Queue(), subspace)
    transactions = [db.create_transaction() for _ in range(3)]
    queue.apply(db, Job("first"))
    for number, tr in enumerate(transactions):
        queue.apply(tr, Job(f"job {number}"))
    for tr in transactions:
        tr.commit().wait()
    pending = list(queue.pending(db))
    assert [one.action.name for one in pending] == ["first", "job 0", "job 1", "job 2"]
    ids = [one.id for one in pending]
    assert all(isinstance(id, Versionstamp) and id.is_complete() for id in ids)
    view = queue.view(db)
    assert [view.jobs[id].name for id in ids] == ["first", "job 0", "job 1", "job 2"]
    assert list(view.names.keys("job 1")) == [ids[2]]
    queue.complete(db, ids[1], Done())
    assert [one.id for one in queue.pending(db)] == [ids[0], *ids[2:]]
    assert ids[1] not in queue.view(db).jobs


def test_a_versionstamp_id_is_complete_in_the_outcome_and_its_repeat(db: Any, subspace: Subspace) -> None:
    queue = Layer(Queue(), subspace)
    first = queue.apply(db, Job("a"), request_id="r")
    (pending,) = queue.pending(db)
    assert first.tracked == (pending,)
    assert first.versionstamp == pending.id.tr_version
    assert queue.apply(db, Job("a"), request_id="r").tracked == (pending,)


# ----------------------------------------------------------------------------------------------- restore


def test_restore_decides_what_runs_in_place_of_what_was_pending(db: Any, wallets: Layer) -> None:
    wallets.apply(db, Deposit("ann", 500))
    wallets.apply(db, Pay("ann", 1))
    wallets.apply(db, Pay("ann", 2))
    assert list(wallets.restore(db)) == [Tracked(1, CheckCharge(1)), Tracked(2, CheckCharge(2))]
    assert list(wallets.pending(db)) == [Tracked(1, Charge("ann", 1)), Tracked(2, Charge("ann", 2))]


class Forgetful(Wallet):
    name = "Wallet"

    def restore(self, state: Any, actions: Any) -> None:
        actions.add(Tracked(2, CheckCharge(2)))
        actions.add(Tracked("lost", CheckCharge(0)))
        actions.add(Untracked(Notify("ops", "restored")))


def test_restore_leaves_what_it_does_not_name_and_adds_what_only_it_knows(db: Any, wallets: Layer) -> None:
    wallets.apply(db, Deposit("ann", 500))
    wallets.apply(db, Pay("ann", 1))
    wallets.apply(db, Pay("ann", 2))
    layer = Layer(Forgetful(), Subspace((), wallets.keyspace.prefix))
    expected = [
        Tracked(1, Charge("ann", 1)),
        Tracked(2, CheckCharge(2)),
        Tracked("lost", CheckCharge(0)),
        Untracked(Notify("ops", "restored")),
    ]
    assert list(layer.restore(db)) == expected
    assert list(layer.restore(db)) == expected, "a crash after restore changes nothing"
    assert [one.id for one in layer.pending(db)] == [1, 2, "lost"]


class WritesInRestore(Wallet):
    name = "Wallet"

    def restore(self, state: Any, actions: Any) -> None:
        state.balance["ann"] = 0


def test_a_state_write_in_restore_is_refused(db: Any, wallets: Layer, subspace: Subspace) -> None:
    wallets.apply(db, Deposit("ann", 5))
    before = everything(db, subspace)
    with pytest.raises(ReadOnlyError, match="restore"):
        Layer(WritesInRestore(), subspace).restore(db)
    assert everything(db, subspace) == before


# ---------------------------------------------------------------------------------------------- invariants


@pytest.mark.parametrize("machine", [Strict, StrictIncremental])
def test_a_checked_layer_refuses_to_commit_an_invalid_state(db: Any, subspace: Subspace, machine: Any) -> None:
    layer = Layer(machine(), subspace, checked=True)
    layer.apply(db, Deposit("ann", 5))
    before = everything(db, subspace)
    with pytest.raises(InvariantViolation) as caught:
        layer.apply(db, Pay("ann", 6))
    assert caught.value.input.payload == Pay("ann", 6)  # type: ignore[attr-defined]
    assert caught.value.changes.keys("balance") == ["ann"]  # type: ignore[attr-defined]
    assert everything(db, subspace) == before
    Layer(machine(), subspace).apply(db, Pay("ann", 6))
    with pytest.raises(InvariantViolation):
        layer.check(db)


def test_invariants_and_views_may_not_write(db: Any, subspace: Subspace) -> None:
    class Writes(Wallet):
        name = "Wallet"

        def check_invariants(self, state: Any) -> None:
            state.next_id.take()

    layer = Layer(Writes(), subspace)
    layer.apply(db, Deposit("ann", 5))
    with pytest.raises(ReadOnlyError, match="check_invariants"):
        layer.check(db)
    with pytest.raises(ReadOnlyError, match="view"):
        layer.view(db).balance.clear()


# ----------------------------------------------------------------------------------------------- bad input


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
    with pytest.raises(InputError, match="TrackedResult of .*Wallet: 'ok' is not one of Charged, Declined"):
        wallets.complete(db, 1, "ok")
    with pytest.raises(InputError, match=r"Charged\.receipt: 5 is not a str"):
        wallets.complete(db, 1, Charged(5))  # type: ignore[arg-type]
    assert len(list(wallets.pending(db))) == 1


class Emits(StateMachine):
    State = AnyIdState
    Input = Job
    TrackedAction = Run
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
        (Emits(Tracked([1], Run("a"))), InputError, r"\[1\] cannot be the id"),
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


class NoStf(StateMachine):
    State = AnyIdState


class NoState(StateMachine):
    def stf(self, state: Any, input: Any, actions: Any) -> None: ...


class SetInput(StateMachine):
    State = AnyIdState
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


# ------------------------------------------------------------------------------------------- the keyspace


def test_two_layers_on_overlapping_subspaces_are_refused(db: Any, subspace: Subspace) -> None:
    outer, inner = Layer(Wallet(), subspace["a"]), Layer(Queue(), subspace["a"]["b"])
    outer.apply(db, Deposit("ann", 1))
    with pytest.raises(KeyspaceError, match="lies inside that of the layer Wallet"):
        inner.apply(db, Job("x"))
    outer, inner = Layer(Wallet(), subspace["c"]), Layer(Queue(), subspace["c"]["d"])
    inner.apply(db, Job("x"))
    with pytest.raises(KeyspaceError, match="holds data that is not this layer's"):
        outer.apply(db, Deposit("ann", 1))


def test_a_keyspace_of_another_machine_is_refused(db: Any, subspace: Subspace) -> None:
    Layer(Wallet(), subspace).apply(db, Deposit("ann", 1))
    before = everything(db, subspace)
    for use in (
        lambda layer: layer.apply(db, Job("x")),
        lambda layer: list(layer.pending(db)),
        lambda layer: layer.view(db),
    ):
        with pytest.raises(KeyspaceError, match="belongs to the machine Wallet, and was opened for Queue"):
            use(Layer(Queue(), subspace))
    assert everything(db, subspace) == before


def test_a_keyspace_that_something_else_wrote_is_refused(db: Any, subspace: Subspace) -> None:
    db[subspace.pack(("m",))] = b"something"
    with pytest.raises(KeyspaceError, match="something else uses it"):
        Layer(Wallet(), subspace).apply(db, Deposit("ann", 1))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 2, "new": "field"}, "has format 2, and this version of phasm-fdb reads up to 1: upgrade"),
        ({"schema": 2}, "has schema version 2, and this Wallet has 1: upgrade this process"),
    ],
)
def test_a_newer_format_or_schema_is_refused(db: Any, subspace: Subspace, change: Any, message: str) -> None:
    import msgpack

    layer = Layer(Wallet(), subspace)
    layer.apply(db, Deposit("ann", 1))
    meta = subspace.pack(("m",))
    db[meta] = msgpack.packb({**msgpack.unpackb(bytes(db[meta])), **change})
    with pytest.raises(KeyspaceError, match=message):
        layer.apply(db, Deposit("ann", 1))


def test_reading_an_empty_keyspace_creates_nothing(db: Any, wallets: Layer, subspace: Subspace) -> None:
    assert list(wallets.pending(db)) == []
    assert wallets.view(db).balance.get("ann") is None
    wallets.check(db)
    assert everything(db, subspace) == {}


def test_large_values_go_through_a_layer(db: Any, subspace: Subspace) -> None:
    class BigState(State):
        text = Value(str, "")

    class Big(StateMachine):
        State = BigState
        Input = Job

        def stf(self, state: Any, input: Any, actions: Any) -> int:
            state.text.set(input.payload.name * 1000)
            return len(state.text.get())

    layer = Layer(Big(), subspace)
    assert layer.apply(db, Job("x" * 250)).reply == 250_000
    assert layer.view(db).text.get() == "x" * 250_000
    layer.apply(db, Job("y"))
    assert layer.view(db).text.get() == "y" * 1000
    kinds = [phasm_fdb.keys.unpack(key[len(subspace.key()) :].split(b"\xff")[0])[0] for key in everything(db, subspace)]
    assert "b" not in kinds, "the parts of the large value are gone"


# ------------------------------------------------------------------------------------------------ contention


def test_disjoint_users_do_not_conflict(db: Any, subspace: Subspace) -> None:
    """Receipts, outbox, counters of lanes and the meta row leave no key that all transitions write and read."""
    queue = Layer(Queue(), subspace)
    queue.apply(db, Job("first"))
    transactions = [db.create_transaction() for _ in range(8)]
    for number, tr in enumerate(transactions):
        queue.apply(tr, Job(f"{number}"), request_id=f"request {number}")
    for tr in transactions:
        tr.commit().wait()
    assert len(list(queue.pending(db))) == 9


def test_time_comes_from_the_layers_clock_unless_the_input_brings_it(db: Any, subspace: Subspace) -> None:
    class Clock(StateMachine):
        State = AnyIdState
        Input = Job

        def stf(self, state: Any, input: Any, actions: Any) -> list[Any]:
            return [input.at, input.random().random()]

    layer = Layer(Clock(), subspace, clock=lambda: 12.3456)
    at, number = layer.apply(db, Job("a"), request_id="r").reply
    assert at == 12345
    assert layer.apply(db, Job("a"), request_id="r").reply == [at, number]
    assert layer.apply(db, Normal(Job("a"), at=7)).reply[0] == 7
