"""A machine as a layer: applied whole or not at all, alone or in a caller's transaction; restored and checked."""

from __future__ import annotations

from typing import Any

import pytest

import phasm_fdb
from phasm_fdb import (
    InvariantViolation,
    Layer,
    Normal,
    ReadOnlyError,
    State,
    StateMachine,
    Subspace,
    Tracked,
    Untracked,
    Value,
    transactional,
)
from tests.machines import (
    Charge,
    Charged,
    CheckCharge,
    Crash,
    Deposit,
    InsufficientFunds,
    Job,
    NoteState,
    Notify,
    Pay,
    Payment,
    Status,
    Strict,
    StrictIncremental,
    Wallet,
)
from tests.reading import everything


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


def test_time_comes_from_the_layers_clock_unless_the_input_brings_it(db: Any, subspace: Subspace) -> None:
    class Clock(StateMachine):
        State = NoteState
        Input = Job

        def stf(self, state: Any, input: Any, actions: Any) -> list[Any]:
            return [input.at, input.random().random()]

    layer = Layer(Clock(), subspace, clock=lambda: 12.3456)
    at, number = layer.apply(db, Job("a"), request_id="r").reply
    assert at == 12345
    assert layer.apply(db, Job("a"), request_id="r").reply == [at, number]
    assert layer.apply(db, Normal(Job("a"), at=7)).reply[0] == 7
