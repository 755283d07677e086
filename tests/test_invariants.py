"""PHASM's ten invariants and replayability: for each a wrong machine that is caught, and the right one that passes.

`docs/02_invariants.md` is the table of this; here each wrong machine also has to leave nothing behind.
"""

from __future__ import annotations

import datetime
import itertools
import os
import random
import socket
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import phasm_fdb
from phasm_fdb import (
    Counter,
    DuplicateAction,
    InputError,
    InvariantViolation,
    Layer,
    MachineDefinitionError,
    Map,
    NondeterminismError,
    Normal,
    ReadOnlyError,
    State,
    StateMachine,
    Subspace,
    Tracked,
    TransitionError,
    Untracked,
    transactional,
)
from phasm_fdb.journal.history import history_in
from phasm_fdb.lint import check_machine
from phasm_fdb.replay import replay
from tests.reading import everything


@dataclass(frozen=True)
class Book:
    """An input: book a seat."""

    user: str
    seat: int = 1


@dataclass(frozen=True)
class Charge:
    user: str


@dataclass(frozen=True)
class Charged:
    receipt: str


@dataclass(frozen=True)
class Told:
    text: str


class Taken(TransitionError):
    """The seat is not free."""


class SeatState(State):
    seats = Map(int, str)
    waiting = Map(int, str)
    receipts = Map(int, str)
    last = Counter()


class Seats(StateMachine):
    """The right machine; the others of this file break it in one place."""

    State = SeatState
    Input = Book
    TrackedAction = Charge
    TrackedResult = Charged
    UntrackedAction = Told
    Reply = Any

    def stf(self, state: Any, input: Any, actions: Any) -> Any:
        if isinstance(input, Normal):
            return self.book(state, input, actions)
        return self.charged(state, input, actions)

    def book(self, state: Any, input: Any, actions: Any) -> Any:
        user, seat = input.payload.user, input.payload.seat
        if seat in state.seats:
            raise Taken(f"{seat} is taken")
        state.seats[seat] = user
        id = state.last.take()
        state.waiting[id] = user
        actions.add(Tracked(id, Charge(user)))
        return id

    def charged(self, state: Any, input: Any, actions: Any) -> Any:
        del state.waiting[input.id]
        state.receipts[input.id] = input.result.receipt

    def restore(self, state: Any, actions: Any) -> None:
        for id, user in state.waiting.items():
            actions.add(Tracked(id, Charge(user)))

    def check_invariants(self, state: Any) -> None:
        for seat, user in state.seats.items():
            assert user, f"seat {seat} is booked for nobody"


# ---------------------------------------------------------------------------------- how a machine is driven

Step = Callable[[Layer, Any], object]


def book(layer: Layer, db: Any) -> object:
    return layer.apply(db, Book("ann"))


def book_it_again(layer: Layer, db: Any) -> object:
    return layer.apply(db, Book("bob"))


def book_another(layer: Layer, db: Any) -> object:
    return layer.apply(db, Book("ann", 2))


def complete(layer: Layer, db: Any) -> object:
    return layer.complete(db, next(layer.pending(db)).id, Charged("visa-1"))


def book_all(layer: Layer, db: Any) -> object:
    return layer.apply(db, BookAll([1, 2]))


def restore(layer: Layer, db: Any) -> object:
    return layer.restore(db)


# ------------------------------------------------------------------------------------------- wrong machines


class BooksFirst(Seats):
    """1: changes everything and then refuses."""

    def book(self, state: Any, input: Any, actions: Any) -> Any:
        taken = input.payload.seat in state.seats
        state.seats[input.payload.seat] = input.payload.user
        actions.add(Tracked(state.last.take(), Charge(input.payload.user)))
        actions.add(Untracked(Told("booked")))
        if taken:
            raise Taken("too late")


class FailsHalfway(Seats):
    """1: has a bug behind its first write."""

    def charged(self, state: Any, input: Any, actions: Any) -> Any:
        del state.waiting[input.id]
        raise ZeroDivisionError("a bug")


class Tosses(Seats):
    """2: chance."""

    def book(self, state: Any, input: Any, actions: Any) -> Any:
        return random.choice(["heads", "tails"])


class Unordered(Seats):
    """2: an order that varies, which no call betrays."""

    orders = itertools.cycle([("ann", "bob"), ("bob", "ann")])

    def book(self, state: Any, input: Any, actions: Any) -> Any:
        for user in next(self.orders):
            actions.add(Tracked(state.last.take(), Charge(user)))


class BooksForNobody(Seats):
    """3: leaves a state that is not valid."""

    def book(self, state: Any, input: Any, actions: Any) -> Any:
        state.seats[input.payload.seat] = ""


class NamesByChance(Seats):
    """4: an id by chance."""

    def book(self, state: Any, input: Any, actions: Any) -> Any:
        actions.add(Tracked(uuid.uuid4().hex, Charge(input.payload.user)))


class NamesByUser(Seats):
    """4: an id that is not unique among the pending."""

    def book(self, state: Any, input: Any, actions: Any) -> Any:
        actions.add(Tracked(input.payload.user, Charge(input.payload.user)))


class EmitsFirst(Seats):
    """5: emits before it knows whether it may, and before it has stored what restore needs."""

    def book(self, state: Any, input: Any, actions: Any) -> Any:
        id = state.last.take()
        actions.add(Tracked(id, Charge(input.payload.user)))
        if input.payload.seat in state.seats:
            raise Taken("the action is out already")
        state.seats[input.payload.seat] = state.waiting[id] = input.payload.user


class CallsOut(Seats):
    """6: does it itself."""

    def book(self, state: Any, input: Any, actions: Any) -> Any:
        socket.create_connection(("127.0.0.1", 9), timeout=0.1)


class EmitsCode(Seats):
    """6: emits what is no data."""

    def book(self, state: Any, input: Any, actions: Any) -> Any:
        actions.add(Untracked(print))


class DeclaresCode(Seats):
    """6: declares what is no data."""

    TrackedAction = Callable[[], None]


class RestoreWrites(Seats):
    """7: changes the state."""

    def restore(self, state: Any, actions: Any) -> None:
        state.last.take()


class RestoreAsks(Seats):
    """7: depends on more than the state."""

    def restore(self, state: Any, actions: Any) -> None:
        if Path("resume.txt").read_text():
            super().restore(state, actions)


class Forgets(Seats):
    """8: a result that leaves no trace."""

    def charged(self, state: Any, input: Any, actions: Any) -> Any:
        actions.add(Untracked(Told(input.result.receipt)))


@dataclass
class CachesInItself(Seats):
    """9: state in the machine."""

    cache: dict[int, str] = field(default_factory=dict)

    def book(self, state: Any, input: Any, actions: Any) -> Any:
        if input.payload.seat in self.cache:
            raise Taken("says the cache")
        self.cache[input.payload.seat] = input.payload.user
        return super().book(state, input, actions)


@dataclass
class BookAll:
    """An input that can be changed."""

    seats: list[int]


class ReadsTheClock(Seats):
    """10: time that did not come in."""

    def book(self, state: Any, input: Any, actions: Any) -> Any:
        return datetime.datetime.now().isoformat()


class ReadsTheEnvironment(Seats):
    """10: settings that did not come in."""

    async def stf(self, state: Any, input: Any, actions: Any) -> Any:
        return os.environ.get("LIMIT", "")


#: Each with the steps that it is driven through, of which the last one fails with this error.
WRONG: list[tuple[type[Seats], tuple[Step, ...], type[Exception], str]] = [
    (BooksFirst, (book, book_it_again), Taken, "too late"),
    (FailsHalfway, (book, complete), ZeroDivisionError, "a bug"),
    (Tosses, (book,), NondeterminismError, "random.choice"),
    (Unordered, (book,), NondeterminismError, "ran twice"),
    (BooksForNobody, (book,), InvariantViolation, "seat 1 is booked for nobody"),
    (NamesByChance, (book,), NondeterminismError, "uuid.uuid4"),
    (NamesByUser, (book, book_another), DuplicateAction, "'ann' is pending already"),
    (EmitsFirst, (book, book_it_again), Taken, "out already"),
    (CallsOut, (book,), NondeterminismError, "uses the network"),
    (EmitsCode, (book,), InputError, "UntrackedAction of EmitsCode"),
    (RestoreWrites, (book, restore), ReadOnlyError, "written in restore"),
    (RestoreAsks, (book, restore), NondeterminismError, "touches files"),
    (Forgets, (book, complete), InvariantViolation, "changes neither the state nor what is pending"),
    (CachesInItself, (book,), NondeterminismError, "ran twice"),
    (ReadsTheClock, (book,), NondeterminismError, "datetime.now"),
    (ReadsTheEnvironment, (book,), NondeterminismError, "os.environ"),
]

#: The right machine refuses these, as it should.
REFUSED = (book, book_it_again)

EVERYWHERE = Subspace(())


def layer_of(machine: StateMachine, **options: Any) -> Layer:
    return Layer(machine, Subspace(("seats",)), checked=True, verify=1.0, guard="error", **options)


@pytest.mark.parametrize(("machine", "steps", "error", "says"), WRONG, ids=[case[0].__name__ for case in WRONG])
def test_a_wrong_machine_is_caught_and_leaves_nothing(
    memory: Any, machine: type[Seats], steps: tuple[Step, ...], error: type[Exception], says: str
) -> None:
    layer = layer_of(machine())
    for step in steps[:-1]:
        step(layer, memory)
    before = everything(memory, EVERYWHERE)
    with pytest.raises(error, match=says):
        steps[-1](layer, memory)
    assert everything(memory, EVERYWHERE) == before


@pytest.mark.parametrize("steps", sorted({case[1] for case in WRONG} - {REFUSED, (book_all,)}, key=repr))
def test_the_right_machine_passes(memory: Any, steps: tuple[Step, ...]) -> None:
    layer = layer_of(Seats())
    for step in steps:
        step(layer, memory)
    assert set(layer.view(memory).seats.values()) == {"ann"}
    layer.check(memory)


def test_an_input_that_is_taken_apart_is_whole_in_the_second_run(memory: Any) -> None:
    """9: an input is shared with nobody, neither with the next attempt nor with the caller."""

    class EmptiesItsInput(Seats):
        Input = Book | BookAll

        def book(self, state: Any, input: Any, actions: Any) -> Any:
            while input.payload.seats:
                state.seats[input.payload.seats.pop()] = "ann"

    layer = layer_of(EmptiesItsInput())
    book_all(layer, memory)
    assert set(layer.view(memory).seats) == {1, 2}


def test_the_right_machine_refuses_and_stays_right(memory: Any) -> None:
    layer = layer_of(Seats())
    book(layer, memory)
    with pytest.raises(Taken):
        book_it_again(layer, memory)
    assert dict(layer.view(memory).seats.items()) == {1: "ann"}
    assert [tracked.action for tracked in layer.pending(memory)] == [Charge("ann")]
    layer.check(memory)


def test_a_refusal_leaves_no_trace_in_a_transaction_of_the_caller(memory: Any) -> None:
    layer = layer_of(BooksFirst())
    book(layer, memory)

    @transactional
    def compose(tr: Any) -> None:
        with pytest.raises(Taken):
            layer.apply(tr, Book("bob"))
        tr[b"mine"] = b"1"

    before = everything(memory, EVERYWHERE)
    compose(memory)
    assert everything(memory, EVERYWHERE) == before | {b"mine": b"1"}


def test_what_is_no_data_cannot_be_declared() -> None:
    with pytest.raises(MachineDefinitionError, match="TrackedAction of DeclaresCode"):
        layer_of(DeclaresCode())


def test_results_that_lead_on_have_left_a_trace(memory: Any) -> None:
    class AsksAgain(Seats):
        def charged(self, state: Any, input: Any, actions: Any) -> Any:
            actions.add(Tracked(input.id, Charge("again"), after=5.0))

    layer = layer_of(AsksAgain())
    book(layer, memory)
    complete(layer, memory)
    assert [tracked.action for tracked in layer.pending(memory)] == [Charge("again")]


def test_without_the_switches_nothing_is_checked(memory: Any) -> None:
    """The checks are what catches these machines: without them they do their wrong."""
    for number, machine in enumerate((Tosses, Unordered, BooksForNobody, NamesByChance, ReadsTheClock)):
        book(Layer(machine(), Subspace(("unchecked", number))), memory)
    forgets = Layer(Forgets(), Subspace(("unchecked", "forgets")))
    book(forgets, memory)
    complete(forgets, memory)
    assert list(forgets.pending(memory)) == []


# ------------------------------------------------------------------------------------------------- replay


class Remembers(Seats):
    """Its replies depend on what it did before."""

    name = "Seats"

    def __init__(self) -> None:
        self.times = 0

    def book(self, state: Any, input: Any, actions: Any) -> Any:
        self.times += 1
        return [super().book(state, input, actions), self.times]


def replayed(layer: Layer, db: Any, by: Layer | None = None) -> Any:
    history = history_in(layer.keyspace, layer.context.meta, db)
    return replay(layer.context, history, None if by is None else by.context)


def test_the_history_of_the_right_machine_replays_to_the_same(memory: Any) -> None:
    layer = Layer(Seats(), Subspace(("seats",)), journal=True, checked=True, guard="error")
    book(layer, memory)
    complete(layer, memory)
    with pytest.raises(Taken):
        book_it_again(layer, memory)
    report = replayed(layer, memory)
    assert (report.applied, report.refused, report.same) == (2, 1, True)


def test_a_machine_that_remembers_does_not_replay(memory: Any) -> None:
    layer = Layer(Remembers(), Subspace(("seats",)), journal=True)
    book(layer, memory)
    book_another(layer, memory)
    report = replayed(Layer(Remembers(), Subspace(("seats",))), memory)
    assert report.same, "in a fresh process it happens to come to the same"
    report = replayed(layer, memory)
    assert not report.same
    assert report.differences


# --------------------------------------------------------------------------------------------------- lint

#: What `phasm lint` says of them before they run; the others are wrong in ways that only their meaning shows.
LINTED = {
    Tosses: "random",
    NamesByChance: "uuid",
    CallsOut: "socket",
    RestoreAsks: "file",
    CachesInItself: "shared-state",
    ReadsTheClock: "clock",
    ReadsTheEnvironment: "environment",
    Remembers: "shared-state",
    Seats: None,
}


@pytest.mark.parametrize("machine", LINTED, ids=lambda machine: machine.__name__)
def test_lint_finds_them_before_they_run(machine: type[Seats]) -> None:
    rules = {finding.rule for finding in check_machine(machine())}
    assert rules == ({LINTED[machine]} if LINTED[machine] else set())


def test_time_comes_with_the_input(memory: Any) -> None:
    class Stamps(Seats):
        def book(self, state: Any, input: Any, actions: Any) -> Any:
            return [input.at, input.random().randrange(1000)]

    layer = layer_of(Stamps(), clock=lambda: 1_700_000_000.5)
    first = layer.apply(memory, Book("ann"), request_id="r")
    assert first.reply[0] == 1_700_000_000_500
    other = phasm_fdb.open("memory:")
    time_later = layer_of(Stamps(), clock=lambda: time.time())
    assert time_later.apply(other, Book("ann"), request_id="r").reply[1] == first.reply[1]
