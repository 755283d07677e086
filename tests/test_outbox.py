"""Tracked actions: stored in commit order, found by any id, stale once, and composed within one transaction."""

from __future__ import annotations

from typing import Any

import msgpack
import pytest
from fdb.tuple import Versionstamp

from phasm_fdb import (
    DuplicateAction,
    Layer,
    Normal,
    StaleCompletion,
    StateMachine,
    Subspace,
    Tracked,
    TrackedActionCompleted,
    transactional,
)
from phasm_fdb.keys import pack_element
from tests.machines import (
    Charged,
    Deposit,
    Done,
    Job,
    NoteState,
    Pay,
    Queue,
    Run,
    Withdraw,
)
from tests.reading import everything


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


class AnyId(StateMachine):
    """Emits one action under the id that it is told, and cancels or completes it."""

    State = NoteState
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
        state = NoteState.over(tr, _StateSpace(layer))
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


def test_an_action_that_died_in_its_transaction_stays_dead_when_it_would_have_another_lane(
    db: Any, wallets: Layer
) -> None:
    @transactional
    def pay_and_withdraw(tr: Any) -> None:
        for _ in range(10):
            wallets.apply(tr, Withdraw(wallets.apply(tr, Pay("ann", 1)).reply))

    wallets.apply(db, Deposit("ann", 100))
    pay_and_withdraw(db)
    wallets.resize(db, 3)
    wallets.sweep(db)
    assert list(wallets.pending(db)) == []


def test_two_layer_objects_of_one_keyspace_share_its_versionstamps(db: Any, subspace: Subspace) -> None:
    first, second = Layer(Queue(), subspace), Layer(Queue(), subspace)

    @transactional
    def body(tr: Any) -> None:
        first.apply(tr, Job("one"))
        second.apply(tr, Job("two"))

    body(db)
    assert [one.action.name for one in first.pending(db)] == ["one", "two"]


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


@pytest.mark.parametrize("is_older", [False, True])
def test_an_input_for_later_is_not_completed_as_an_action(db: Any, subspace: Subspace, is_older: bool) -> None:
    class Alarm(Queue):
        def stf(self, state: Any, input: Any, actions: Any) -> None:
            actions.later("alarm", Job("later"), after=60.0)

    alarms = Layer(Alarm(), subspace)
    alarms.apply(db, Job("now"))
    if is_older:  # as code wrote it that did not say so in the id's row
        row = alarms.keyspace.id_row(pack_element("alarm"))
        db[row] = msgpack.packb(msgpack.unpackb(db[row])[:4])
    before = everything(db, subspace)
    with pytest.raises(StaleCompletion):
        alarms.complete(db, "alarm", Done())
    assert everything(db, subspace) == before


def test_a_minted_id_is_completed_once_in_a_transaction_that_mints_another(db: Any, subspace: Subspace) -> None:
    """FoundationDB forgets what a transaction cleared where a versionstamped key of its own might come to lie."""
    queue = Layer(Queue(), subspace)
    (first,) = queue.apply(db, Job("first")).tracked

    @transactional
    def body(tr: Any) -> None:
        queue.complete(tr, first.id, Done())
        (second,) = queue.apply(tr, Job("second")).tracked
        assert list(queue.pending(tr)) == [second]
        assert first.id not in queue.view(tr).jobs
        with pytest.raises(StaleCompletion):
            queue.complete(tr, first.id, Done())

    body(db)
    assert [one.action.name for one in queue.pending(db)] == ["second"]
