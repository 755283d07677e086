"""A theatre that sells its seats: the right machine, which each planted one gets wrong in one place.

A booking holds its seat while its card is charged, and for as long as it is paid; there is standing room for everybody
else. Some time after it was paid its guest is reminded, once. What was paid can be cancelled: the money goes back.
"""

from __future__ import annotations

import enum
import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from phasm_fdb import (
    Actions,
    Changes,
    Counter,
    Index,
    InvariantViolation,
    Map,
    Normal,
    State,
    StateMachine,
    Tracked,
    TrackedActionCompleted,
    TransitionError,
    Value,
)
from phasm_fdb.simulation import Workload

SEATS = 6
#: A place without a seat, of which there are always enough.
STANDING = SEATS
REMIND_AFTER_SECONDS = 20


# ---------------------------------------------------------------------------------------------- the types


class Status(enum.Enum):
    """Where a booking is."""

    CHARGING = "charging"
    PAID = "paid"
    DECLINED = "declined"
    REFUNDING = "refunding"
    REFUNDED = "refunded"


HOLDS_ITS_SEAT = (Status.CHARGING, Status.PAID)


@dataclass(frozen=True)
class Booking:
    """What is known of a booking."""

    user: str
    seat: int
    cents: int
    status: Status = Status.CHARGING


@dataclass(frozen=True)
class Reserve:
    """Input: a user wants a seat, and pays for it."""

    user: str
    seat: int


@dataclass(frozen=True)
class Cancel:
    """Input: the user does not want a booking any more."""

    booking: int


@dataclass(frozen=True)
class Remind:
    """Input, from a timer: the play begins soon."""

    booking: int


@dataclass(frozen=True)
class Charge:
    """Tracked: take money from the user's card."""

    booking: int
    cents: int


@dataclass(frozen=True)
class CheckCharge:
    """Tracked, after a crash: what became of the charge?"""

    booking: int


@dataclass(frozen=True)
class Refund:
    """Tracked: give the money back."""

    booking: int
    cents: int


@dataclass(frozen=True)
class Paid:
    """Result: the card was charged."""

    cents: int


@dataclass(frozen=True)
class Declined:
    """Result: the card was not charged, and will not be."""


@dataclass(frozen=True)
class NotCharged:
    """Result of a check: the bank never heard of the charge."""


@dataclass(frozen=True)
class Refunded:
    """Result: the money is back."""


class SeatTaken(TransitionError):
    """Somebody else has the seat."""


class NotPaid(TransitionError):
    """Only what was paid can be cancelled."""


# -------------------------------------------------------------------------------------------- the machine


class TheatreState(State):
    bookings = Map(int, Booking)
    by_status = Index(bookings, Status, lambda booking: booking.status)
    seats = Map(int, int)
    takings = Value(int, 0)
    reminders = Map(int, int)
    last_booking = Counter()


class Theatre(StateMachine):
    """The machine that is right. Its steps are methods, so that a wrong one can be put in the place of one of them."""

    State = TheatreState
    Input = Reserve | Cancel | Remind
    TrackedAction = Charge | CheckCharge | Refund
    TrackedResult = Paid | Declined | NotCharged | Refunded
    name = "Theatre"

    def stf(self, state: TheatreState, input: Any, actions: Actions) -> Any:
        match input:
            case Normal(Reserve() as wish):
                return self.reserve(state, input, wish, actions)
            case Normal(Cancel(booking)):
                return self.cancel(state, booking, actions)
            case Normal(Remind(booking)):
                return self.remind(state, booking)
            case TrackedActionCompleted(("charge", booking), result):
                return self.charged(state, booking, result, actions)
            case TrackedActionCompleted(("refund", booking), Refunded()):
                return self.refunded(state, booking, actions)
        raise AssertionError(input)

    # -------------------------------------------------------------------------------------------- steps

    def reserve(self, state: TheatreState, input: Normal[Any], wish: Reserve, actions: Actions) -> int:
        self.require_free(state, wish.seat)
        number = self.new_number(state)
        booking = Booking(wish.user, wish.seat, self.price(wish.seat))
        self.hold(state, number, booking)
        self.charge(number, booking, actions)
        return number

    def require_free(self, state: TheatreState, seat: int) -> None:
        if seat != STANDING and seat in state.seats:
            raise SeatTaken(f"seat {seat} is taken by booking {state.seats[seat]}")

    def new_number(self, state: TheatreState) -> int:
        return state.last_booking.take()

    def price(self, seat: int) -> int:
        return 1000 + 100 * seat

    def hold(self, state: TheatreState, number: int, booking: Booking) -> None:
        state.bookings[number] = booking
        if booking.seat != STANDING:
            state.seats[booking.seat] = number

    def leave(self, state: TheatreState, seat: int) -> None:
        if seat != STANDING:
            del state.seats[seat]

    def charge(self, number: int, booking: Booking, actions: Actions) -> None:
        actions.add(Tracked(("charge", number), Charge(number, booking.cents), ordering_key=booking.user))

    def charged(self, state: TheatreState, number: int, result: Any, actions: Actions) -> None:
        booking = state.bookings[number]
        match result:
            case Paid(cents):
                self.paid(state, number, booking, cents, actions)
            case Declined():
                self.declined(state, number, booking)
            case NotCharged():
                self.charge(number, booking, actions)

    def paid(self, state: TheatreState, number: int, booking: Booking, cents: int, actions: Actions) -> None:
        state.bookings[number] = replace(booking, status=Status.PAID)
        state.takings.set(state.takings.get() + cents)
        actions.later(("remind", number), Remind(number), after=REMIND_AFTER_SECONDS)

    def declined(self, state: TheatreState, number: int, booking: Booking) -> None:
        state.bookings[number] = replace(booking, status=Status.DECLINED)
        self.leave(state, booking.seat)

    def cancel(self, state: TheatreState, number: int, actions: Actions) -> None:
        booking = state.bookings.get(number)
        if booking is None or booking.status is not Status.PAID:
            raise NotPaid(f"booking {number} is {booking}")
        state.bookings[number] = replace(booking, status=Status.REFUNDING)
        self.leave(state, booking.seat)
        state.takings.set(state.takings.get() - booking.cents)
        actions.add(Tracked(("refund", number), Refund(number, booking.cents), ordering_key=booking.user))

    def refunded(self, state: TheatreState, number: int, actions: Actions) -> None:
        state.bookings[number] = replace(state.bookings[number], status=Status.REFUNDED)

    def remind(self, state: TheatreState, number: int) -> None:
        state.reminders[number] = state.reminders.get(number, 0) + 1

    # ------------------------------------------------------------------------------------------ the rest

    def restore(self, state: TheatreState, actions: Actions) -> None:
        for number in state.by_status.keys(Status.CHARGING):
            user = state.bookings[number].user
            actions.add(Tracked(("charge", number), CheckCharge(number), ordering_key=user))
        for number in state.by_status.keys(Status.REFUNDING):
            booking = state.bookings[number]
            actions.add(Tracked(("refund", number), Refund(number, booking.cents), ordering_key=booking.user))

    def check_invariants(self, state: TheatreState) -> None:
        paid = sum(booking.cents for booking in state.bookings.values() if booking.status is Status.PAID)
        if state.takings.get() != paid:
            raise InvariantViolation(f"takings add up: they are {state.takings.get()}, and {paid} was paid")
        self._check(state, list(state.bookings.keys()))

    def check_changes(self, state: TheatreState, changes: Changes) -> None:
        self._check(state, sorted({*changes.keys("bookings"), *changes.keys("reminders")}))

    def _check(self, state: TheatreState, numbers: list[int]) -> None:
        for number in numbers:
            booking = state.bookings.get(number)
            if booking is None:
                raise InvariantViolation(f"bookings stay: {number} is gone")
            has_seat = booking.status in HOLDS_ITS_SEAT and booking.seat != STANDING
            if has_seat and state.seats.get(booking.seat) != number:
                raise InvariantViolation(
                    f"one guest a seat: booking {number} has seat {booking.seat}, where booking "
                    f"{state.seats.get(booking.seat)} sits"
                )
            if state.reminders.get(number, 0) > 1:
                raise InvariantViolation(f"one reminder: booking {number} had {state.reminders[number]}")


# ----------------------------------------------------------------------------------------- the outside world


class Bank:
    """Charges and refunds, once for each idempotency key.

    Attributes:
        done: what was answered to each key.
        charges, refunds: how often each booking was charged and refunded.
    """

    def __init__(self, rng: random.Random) -> None:
        self._salt = rng.random()
        self.done: dict[str, Any] = {}
        self.charges: dict[int, int] = {}
        self.refunds: dict[int, int] = {}

    def charge(self, key: str, booking: int, cents: int) -> Paid | Declined:
        """Take the money; one card in six is declined."""
        if key not in self.done:
            is_good = random.Random(f"{self._salt} {booking}").random() > 1 / 6
            self.charges[booking] = self.charges.get(booking, 0) + is_good
            self.done[key] = Paid(cents) if is_good else Declined()
        return self.done[key]  # type: ignore[no-any-return]

    def refund(self, key: str, booking: int) -> Refunded:
        """Give the money back."""
        if key not in self.done:
            self.refunds[booking] = self.refunds.get(booking, 0) + 1
            self.done[key] = Refunded()
        return Refunded()

    def answer(self, key: str) -> Any:
        """What was answered to a key; NotCharged if it never came."""
        return self.done.get(key, NotCharged())


class TheatreWorkload(Workload):
    """A few users who want a few seats, so that they often want the same."""

    machine: Any = Theatre

    def setup(self, rng: random.Random) -> Iterator[Any]:
        self.bank = Bank(rng)
        return iter(())

    def next_input(self, rng: random.Random, view: TheatreState) -> Any:
        if rng.random() < 0.25:
            return Cancel(rng.randint(max(1, view.last_booking.get() - SEATS), max(1, view.last_booking.get())))
        return Reserve(rng.choice(("ann", "bob", "cem")), rng.randrange(SEATS + 1))

    def perform(self, rng: random.Random, action: Any, attempt: Any) -> Any:
        match action:
            case Charge(booking, cents):
                return self.bank.charge(f"charge {booking}", booking, cents)
            case CheckCharge(booking):
                return self.bank.answer(f"charge {booking}")
            case Refund(booking, _):
                return self.bank.refund(attempt.idempotency_key, booking)
        raise AssertionError(action)

    def check(self, view: TheatreState) -> None:
        for number, booking in view.bookings.items():
            charges, refunds = self.bank.charges.get(number, 0), self.bank.refunds.get(number, 0)
            owed = {Status.PAID: (1, 0), Status.REFUNDED: (1, 1), Status.DECLINED: (0, 0)}.get(booking.status)
            assert (charges, refunds) == owed, (
                f"the bank agrees: booking {number} is {booking.status.value}, and was charged {charges} and refunded "
                f"{refunds} times"
            )
        unknown = sorted(self.bank.charges.keys() - set(view.bookings.keys()))
        assert not unknown, f"the bank agrees: it charged for {unknown}, and there are no such bookings"
        due = [number for number, one in view.bookings.items() if one.status in (Status.PAID, Status.REFUNDED)]
        assert due == list(view.reminders.keys()), "everybody is reminded"

    def sometimes(self, view: TheatreState) -> dict[str, bool]:
        statuses = {booking.status for booking in view.bookings.values()}
        return {status.value: status in statuses for status in (Status.PAID, Status.DECLINED, Status.REFUNDED)}
