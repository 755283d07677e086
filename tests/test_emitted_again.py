"""An action that is cancelled and emitted again under its id: only the last one is pending, whatever became of the
transactions that tried it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from phasm_fdb import (
    Counter,
    DuplicateAction,
    Handlers,
    InputError,
    Layer,
    Map,
    Normal,
    State,
    StateMachine,
    Subspace,
    Tracked,
    TrackedActionCompleted,
    Worker,
    transactional,
)
from phasm_fdb.database.ranges import rows
from phasm_fdb.errors import FDBError, InputFailed


@dataclass(frozen=True)
class Renew:
    """Start a timer anew; and another one beside it, which may be running already."""

    id: int
    also: int | None = None


@dataclass(frozen=True)
class Cancel:
    id: int


@dataclass(frozen=True)
class Store:
    text: str


@dataclass(frozen=True)
class New:
    """Emit an action under an id of its own."""


@dataclass(frozen=True)
class Expire:
    number: int


@dataclass(frozen=True)
class Expired:
    pass


class TimerState(State):
    texts = Map(str, str)
    renewals = Counter()
    expired = Map(int, int)


class Timers(StateMachine):
    State = TimerState
    Input = Renew | Cancel | Store | New
    TrackedAction = Expire
    TrackedResult = Expired

    def stf(self, state: TimerState, input: Any, actions: Any) -> None:
        match input:
            case Normal(Renew(id, also)):
                number = state.renewals.take()
                actions.cancel(id)
                actions.add(Tracked(id, Expire(number)))
                if also is not None:
                    actions.add(Tracked(also, Expire(number)))
            case Normal(Cancel(id)):
                actions.cancel(id)
            case Normal(Store(text)):
                state.texts["text"] = text
            case Normal(New()):
                actions.add(Tracked(actions.new_id(), Expire(state.renewals.take())))
            case TrackedActionCompleted(int() as id, Expired()):
                state.expired[id] = state.expired.get(id, 0) + 1


@pytest.fixture
def timers(subspace: Subspace) -> Layer:
    return Layer(Timers(), subspace)


def pending(layer: Layer, db: Any) -> list[tuple[Any, int]]:
    return [(one.id, one.action.number) for one in layer.pending(db)]


def assert_only(layer: Layer, db: Any, expected: list[tuple[Any, int]]) -> None:
    """The pending actions are these, and no other row is left in the outbox once it has been swept."""
    assert pending(layer, db) == expected
    layer.sweep(db)
    outbox = layer.keyspace.outbox
    assert len(list(rows(db.create_transaction(), outbox, outbox + b"\xff"))) == len(expected)
    assert pending(layer, db) == expected


def test_after_another_process_has_changed_the_meta_row(db: Any, timers: Layer, subspace: Subspace) -> None:
    timers.apply(db, Renew(1))
    timers.apply(db, Renew(1))
    Layer(Timers(), subspace).apply(db, Store("x" * 200_000))  # the field's first large value
    timers.apply(db, Renew(1))  # begins with the meta row as it was, and has to begin again
    assert_only(timers, db, [(1, 3)])


RESTARTS: dict[str, Callable[[Any], Any]] = {
    "reset": lambda tr: tr.reset(),
    "retried": lambda tr: tr.on_error(1037).wait(),
}


@pytest.mark.parametrize("restart", RESTARTS.values(), ids=RESTARTS)
def test_after_the_callers_transaction_began_again(db: Any, timers: Layer, restart: Callable[[Any], Any]) -> None:
    timers.apply(db, Renew(1))
    tr = db.create_transaction()
    timers.apply(tr, Renew(1))
    restart(tr)
    assert pending(timers, tr) == [(1, 1)]
    timers.complete(tr, 1, Expired())
    tr.commit().wait()
    assert_only(timers, db, [])
    assert timers.view(db).expired[1] == 1


def test_after_a_retry_at_the_same_read_version(db: Any, timers: Layer) -> None:
    timers.apply(db, Renew(1))
    runs = []

    @transactional
    def renew(tr: Any) -> None:
        timers.apply(tr, Renew(1))
        runs.append(tr)
        if len(runs) == 1:
            raise FDBError(1037)  # what a read raises whose storage server is behind

    renew(db)
    assert_only(timers, db, [(1, 2)])


def test_after_a_duplicate_that_the_caller_catches(db: Any, timers: Layer) -> None:
    timers.apply(db, Renew(1))
    timers.apply(db, Renew(2))

    @transactional
    def body(tr: Any) -> None:
        with pytest.raises(DuplicateAction):
            timers.apply(tr, Renew(1, also=2))
        timers.apply(tr, Cancel(1))

    body(db)
    assert_only(timers, db, [(2, 2)])


async def test_after_a_duplicate_in_a_batch_of_inputs(db: Any, timers: Layer) -> None:
    timers.apply(db, Renew(1))
    timers.apply(db, Renew(2))
    timers.submit(db, Renew(1, also=2), request_id="a", ordering_key="k")
    timers.submit(db, Cancel(1), request_id="b", ordering_key="k")
    async with Worker(db, timers, Handlers()):
        with pytest.raises(InputFailed):
            await timers.outcome(db, "a")
        await timers.outcome(db, "b")
    assert_only(timers, db, [(2, 2)])


def test_several_times_in_one_transaction(db: Any, timers: Layer) -> None:
    timers.apply(db, Renew(1))

    @transactional
    def body(tr: Any) -> None:
        timers.apply(tr, Renew(1))
        timers.apply(tr, Renew(1))
        assert pending(timers, tr) == [(1, 3)]
        timers.apply(tr, Cancel(1))
        assert pending(timers, tr) == []
        timers.apply(tr, Renew(1))
        assert pending(timers, tr) == [(1, 4)]

    body(db)
    assert_only(timers, db, [(1, 4)])


def test_an_id_that_the_commit_makes_is_listed_and_has_to_wait_for_the_commit(db: Any, timers: Layer) -> None:
    tr = db.create_transaction()
    (action,) = timers.apply(tr, New()).tracked
    assert [one.id for one in timers.pending(tr)] == [action.id]
    with pytest.raises(InputError, match="before the commit"):
        timers.complete(tr, action.id, Expired())
    tr.reset()
    assert list(timers.pending(tr)) == []


def test_an_input_for_later_in_the_place_of_an_action(db: Any, subspace: Subspace) -> None:
    class Alarms(Timers):
        def stf(self, state: TimerState, input: Any, actions: Any) -> None:
            if isinstance(input.payload, Cancel):
                actions.cancel(input.payload.id)
                actions.later(input.payload.id, Store("later"), after=60.0)
            else:
                super().stf(state, input, actions)

    alarms = Layer(Alarms(), subspace)

    @transactional
    def body(tr: Any) -> None:
        alarms.apply(tr, Renew(1))
        alarms.apply(tr, Cancel(1))
        assert pending(alarms, tr) == []

    body(db)
    assert pending(alarms, db) == []
