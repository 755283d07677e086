"""What always holds, checked in two forms that agree.

`check_all` reads everything once and looks at it in memory. `check_changes` is given a valid state before a
transition and looks only at what the transition wrote and at the few rows that depend on it. Both raise an
`InvariantViolation` whose message starts with the name of the invariant.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache, partial
from itertools import pairwise
from typing import NoReturn

from layers.dentist_booking import calendar
from layers.dentist_booking.state import BookingState
from layers.dentist_booking.types import (
    Booking,
    Day,
    Payment,
    PaymentStatus,
    Request,
    RequestSlot,
    Slot,
    Status,
    TimeRange,
)
from phasm_fdb import Changes, InvariantViolation

NO_OVERLAP = "no overlap"
WORKING_HOURS = "inside working hours"
CONFIRMED = "confirmed requests match bookings"
TRACKED = "payments all tracked"
AS_ASKED = "booked as asked"

#: How far the payment of a request can be.
PAYMENTS = {
    Status.AWAITING_PREAUTH: {PaymentStatus.REQUESTED},
    Status.CONFIRMED: {PaymentStatus.HELD},
    Status.SLOT_TAKEN: {PaymentStatus.RELEASING, PaymentStatus.RELEASED},
    Status.PAYMENT_FAILED: {PaymentStatus.DECLINED, PaymentStatus.RELEASING, PaymentStatus.RELEASED},
}


def are_hours(ranges: tuple[TimeRange, ...]) -> bool:
    """Whether these are working hours of a day: ranges in order that do not overlap."""
    in_order = all(before.end <= after.start for before, after in pairwise(ranges))
    return in_order and all(range_.is_valid for range_ in ranges)


# -------------------------------------------------------------------------------------- the whole state


def check_all(state: BookingState) -> None:
    """Check every invariant on everything.

    Raises:
        InvariantViolation: the state is not valid.
    """
    requests, payments = dict(state.requests.items()), dict(state.payments.items())
    bookings = dict(state.bookings.items())
    for (day, week), ranges in state.hours.items():
        _check_hours(day, week, ranges)
    for (slot, booking), (other, _) in pairwise(bookings.items()):
        _check_apart(slot, booking, other)
    hours_on = cache(partial(calendar.hours_on, state))
    for slot, booking in bookings.items():
        _check_open(hours_on(slot.day, slot.week), slot, booking)
        _check_confirms(slot, booking, requests.get(booking.request))
    for number, request in requests.items():
        _check_as_asked(number, request)
        _check_payment(number, request, payments.get(number))
        if request.status is Status.CONFIRMED:
            _check_booked(number, request, bookings.get(request.slot))
    for number in payments:
        if number not in requests:
            _violated(TRACKED, f"there is a payment {number}, and no request")


# ------------------------------------------------------------------------------------ what was written


def check_changes(state: BookingState, changes: Changes) -> None:
    """Check what a transition may have broken.

    Raises:
        InvariantViolation: the state is not valid any more.
    """
    if any(changes.cleared(field) for field in ("hours", "requests", "payments", "bookings")):
        return check_all(state)
    for day, week in changes.keys("hours"):
        _check_change_of_hours(state, day, week)
    for slot in changes.keys("bookings"):
        _check_slot(state, slot)
    for number in _distinct([*changes.keys("requests"), *changes.keys("payments")]):
        _check_number(state, number)
    return None


def _check_change_of_hours(state: BookingState, day: Day, week: int) -> None:
    """The hours of a day were set or removed from a week on: every booking until the next change depends on it."""
    weeks = calendar.weeks_until_next_change(state, day, week)
    hours = calendar.hours_on(state, day, week)
    _check_hours(day, week, hours)
    outside = calendar.first_outside(state, day, weeks, hours)
    if outside is not None:
        _violated(WORKING_HOURS, f"{outside[0]} has {outside[1]}, and the hours are {hours}")


def _check_slot(state: BookingState, slot: Slot) -> None:
    """A booking was set or removed: its neighbours, hours and request depend on it."""
    booking = state.bookings.get(slot)
    if booking is not None:
        for other, earlier in _before(state, slot):
            _check_apart(other, earlier, slot)
        for other, _ in _after(state, slot):
            _check_apart(slot, booking, other)
        _check_open(calendar.hours_on(state, slot.day, slot.week), slot, booking)
        _check_confirms(slot, booking, state.requests.get(booking.request))
    for number in state.confirmed.keys(slot):
        _check_booked(number, state.requests[number], booking)


def _check_number(state: BookingState, number: int) -> None:
    """A request or payment was set or removed: the other one depends on it, and the bookings for it."""
    request, payment = state.requests.get(number), state.payments.get(number)
    if request is not None:
        _check_as_asked(number, request)
        _check_payment(number, request, payment)
        if request.status is Status.CONFIRMED:
            _check_booked(number, request, state.bookings.get(request.slot))
    elif payment is not None:
        _violated(TRACKED, f"there is a payment {number}, and no request")
    for slot, booking in state.booked_for.items(number):
        _check_confirms(slot, booking, request)


def _before(state: BookingState, slot: Slot) -> Iterable[tuple[Slot, Booking]]:
    return state.bookings.items(Slot(slot.day, slot.week, 0), slot, reverse=True, limit=1)


def _after(state: BookingState, slot: Slot) -> Iterable[tuple[Slot, Booking]]:
    following = Slot(slot.day, slot.week, slot.minute + 1)
    return state.bookings.items(following, Slot(slot.day, slot.week + 1, 0), limit=1)


def _distinct(numbers: list[int]) -> Iterable[int]:
    return dict.fromkeys(numbers)


# ------------------------------------------------------------------------------------------- relations


def _check_hours(day: Day, week: int, ranges: tuple[TimeRange, ...]) -> None:
    if not are_hours(ranges):
        _violated(WORKING_HOURS, f"{day} from week {week} has the ranges {ranges}")


def _check_apart(slot: Slot, booking: Booking, later: Slot) -> None:
    same_day = (slot.day, slot.week) == (later.day, later.week)
    if same_day and slot.minute + booking.treatment.minutes > later.minute:
        _violated(NO_OVERLAP, f"{slot} has {booking}, which goes on beyond {later}")


def _check_open(hours: tuple[TimeRange, ...], slot: Slot, booking: Booking) -> None:
    if not calendar.is_open(hours, slot.minute, booking.treatment.minutes):
        _violated(WORKING_HOURS, f"{slot} has {booking}, and the hours are {hours}")


def _check_confirms(slot: Slot, booking: Booking, request: Request | None) -> None:
    """A booking is there because its request is confirmed, and is what that asked for."""
    if request is None or request.status is not Status.CONFIRMED or request.slot != slot:
        _violated(CONFIRMED, f"{slot} is booked for request {booking.request}, which is {request}")
    asked = request.asked
    if (booking.patient, booking.treatment, booking.cents) != (asked.patient, asked.treatment, asked.treatment.cents):
        _violated(AS_ASKED, f"{slot} has {booking}, and request {booking.request} asked for {asked}")


def _check_booked(number: int, request: Request, booking: Booking | None) -> None:
    if booking is None or booking.request != number:
        _violated(CONFIRMED, f"request {number} is confirmed for {request.slot}, where there is {booking}")


def _check_as_asked(number: int, request: Request) -> None:
    """The slot of a request is one that was asked for."""
    asked, slot = request.asked, request.slot
    if isinstance(asked, RequestSlot):
        holds = slot == asked.slot
    else:
        in_time = any(wanted.holds(slot.minute, asked.treatment.minutes) for wanted in asked.times)
        holds = in_time and slot.day in asked.days and slot.week == asked.week
    if not holds:
        _violated(AS_ASKED, f"request {number} is for {slot}, and asked for {asked}")


def _check_payment(number: int, request: Request, payment: Payment | None) -> None:
    if payment is None:
        _violated(TRACKED, f"request {number} has no payment")
    if payment.cents != request.asked.treatment.cents:
        _violated(TRACKED, f"request {number} costs {request.asked.treatment.cents} cents, and pays {payment.cents}")
    if payment.status not in PAYMENTS[request.status]:
        _violated(TRACKED, f"request {number} is {request.status.value}, and its payment {payment.status.value}")


def _violated(name: str, details: str) -> NoReturn:
    raise InvariantViolation(f"{name}: {details}")
