"""The booking system: a slot is asked for, the price is held on the patient's card, then the slot is booked.

Several patients can ask for a slot while it is free. The first whose payment is authorized gets it; for the others
the money is released. A payment that was in doubt at a crash is looked up with `CheckStatus` before anything else.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from layers.dentist_booking import calendar, invariants, types
from layers.dentist_booking.state import BookingState
from layers.dentist_booking.types import (
    Asked,
    Authorized,
    Booking,
    CheckStatus,
    Declined,
    HoursInUse,
    InvalidRequest,
    Log,
    NoSlotFound,
    NotFound,
    Notify,
    Payment,
    PaymentStatus,
    Preauthorize,
    Processing,
    Release,
    Released,
    Request,
    RequestAuto,
    RequestSlot,
    SetHours,
    Slot,
    SlotNotAvailable,
    Status,
    TimeRange,
    UnexpectedResult,
)
from phasm_fdb import Actions, Changes, Normal, StateMachine, Tracked, TrackedActionCompleted, Untracked

HOLD = "hold"
RELEASE = "release"

#: How long to wait before a provider that is still at it is asked again.
RECHECK_SECONDS = 5.0


class BookingSystem(StateMachine):
    """Replies to a request with its number. Tracked ids are `(HOLD, number)` and `(RELEASE, number)`."""

    State = BookingState
    Input = types.Input
    TrackedAction = types.TrackedAction
    TrackedResult = types.TrackedResult
    UntrackedAction = types.UntrackedAction
    Reply = int | None

    def stf(
        self, state: BookingState, input: Normal[Any] | TrackedActionCompleted[Any], actions: Actions
    ) -> int | None:
        match input:
            case Normal(RequestSlot() as asked):
                return _request_slot(state, actions, asked)
            case Normal(RequestAuto() as asked):
                return _request_auto(state, actions, asked)
            case Normal(SetHours() as change):
                _set_hours(state, actions, change)
            case TrackedActionCompleted((str(kind), int(number)), result) if kind == HOLD:
                _hold_answered(state, actions, number, result)
            case TrackedActionCompleted((str(kind), int(number)), result) if kind == RELEASE:
                _release_answered(state, actions, number, result)
        return None

    def restore(self, state: BookingState, actions: Actions) -> None:
        """Look up every hold that was in doubt, and release again what was being released."""
        for number in state.unresolved.keys(PaymentStatus.REQUESTED):
            actions.add(Tracked((HOLD, number), CheckStatus(number)))
        for number in state.unresolved.keys(PaymentStatus.RELEASING):
            actions.add(Tracked((RELEASE, number), Release(number)))

    def check_invariants(self, state: BookingState) -> None:
        invariants.check_all(state)

    def check_changes(self, state: BookingState, changes: Changes) -> None:
        invariants.check_changes(state, changes)


# ------------------------------------------------------------------------------------------------ inputs


def _request_slot(state: BookingState, actions: Actions, asked: RequestSlot) -> int:
    if not asked.slot.is_valid:
        raise InvalidRequest(f"{asked.slot} does not exist")
    if not calendar.is_available(state, asked.slot, asked.treatment):
        raise SlotNotAvailable(f"{asked.slot} has no {asked.treatment.minutes} free minutes within the working hours")
    return _request_payment(state, actions, asked, asked.slot)


def _request_auto(state: BookingState, actions: Actions, asked: RequestAuto) -> int:
    if asked.week < 0 or not asked.days or not all(range_.is_valid for range_ in asked.times):
        raise InvalidRequest(f"week {asked.week}, {asked.days} and {asked.times} are no days and times to choose from")
    slot = calendar.find_slot(state, asked)
    if slot is None:
        raise NoSlotFound(f"nothing is free in week {asked.week} on {asked.days} within {asked.times}")
    return _request_payment(state, actions, asked, slot)


def _request_payment(state: BookingState, actions: Actions, asked: Asked, slot: Slot) -> int:
    number = state.last_request.take()
    cents = asked.treatment.cents
    state.requests[number] = Request(asked, slot)
    state.payments[number] = Payment(cents)
    actions.add(Tracked((HOLD, number), Preauthorize(number, asked.patient.user, cents)))
    return number


def _set_hours(state: BookingState, actions: Actions, change: SetHours) -> None:
    _require_hours(change.ranges, change.from_week)
    weeks = calendar.weeks_until_next_change(state, change.day, change.from_week)
    outside = calendar.first_outside(state, change.day, weeks, change.ranges)
    if outside is not None:
        raise HoursInUse(f"{outside[0]} is booked, and would lie outside of {change.ranges}")
    state.hours[change.day, change.from_week] = change.ranges
    actions.add(Untracked(Log(f"hours of {change.day.name} from week {change.from_week}: {change.ranges}")))


def _require_hours(ranges: tuple[TimeRange, ...], from_week: int) -> None:
    if not 0 <= from_week < calendar.LAST_WEEK:
        raise InvalidRequest(f"week {from_week} does not exist")
    if not invariants.are_hours(ranges):
        raise InvalidRequest(f"{ranges} are no working hours: ranges of one day, in order, without overlap")


# ----------------------------------------------------------------------------------------------- results


def _hold_answered(state: BookingState, actions: Actions, number: int, result: types.TrackedResult) -> None:
    request, payment = state.requests[number], state.payments[number]
    match result:
        case Authorized(cents) if cents != payment.cents:
            actions.add(Untracked(Log(f"request {number}: {cents} cents are held instead of {payment.cents}")))
            _release(state, actions, number, replace(request, status=Status.PAYMENT_FAILED), payment)
        case Authorized() if calendar.is_available(state, request.slot, request.asked.treatment):
            _confirm(state, actions, number, request, payment)
        case Authorized():
            _notify(actions, number, request, "your slot was taken meanwhile")
            _release(state, actions, number, replace(request, status=Status.SLOT_TAKEN), payment)
        case Declined(reason):
            state.requests[number] = replace(request, status=Status.PAYMENT_FAILED)
            state.payments[number] = replace(payment, status=PaymentStatus.DECLINED)
            _notify(actions, number, request, f"your card was declined ({reason})")
        case Processing():
            state.payments[number] = replace(payment, asked=payment.asked + 1)
            actions.add(Tracked((HOLD, number), CheckStatus(number), after=RECHECK_SECONDS))
        case NotFound():
            state.payments[number] = replace(payment, asked=payment.asked + 1)
            actions.add(Tracked((HOLD, number), Preauthorize(number, request.asked.patient.user, payment.cents)))
        case _:
            raise UnexpectedResult(f"{result} is no answer to the preauthorization of request {number}")


def _confirm(state: BookingState, actions: Actions, number: int, request: Request, payment: Payment) -> None:
    """The money is held and the slot is still free: it is booked."""
    asked = request.asked
    state.requests[number] = replace(request, status=Status.CONFIRMED)
    state.payments[number] = replace(payment, status=PaymentStatus.HELD)
    state.bookings[request.slot] = Booking(number, asked.patient, asked.treatment, payment.cents)
    _notify(actions, number, request, f"your {asked.treatment.value} is booked")


def _release(state: BookingState, actions: Actions, number: int, request: Request, payment: Payment) -> None:
    """The money is held for nothing: it is given back."""
    state.requests[number] = request
    state.payments[number] = replace(payment, status=PaymentStatus.RELEASING)
    actions.add(Tracked((RELEASE, number), Release(number)))


def _release_answered(state: BookingState, actions: Actions, number: int, result: types.TrackedResult) -> None:
    payment = state.payments[number]
    match result:
        case Released() | NotFound():
            state.payments[number] = replace(payment, status=PaymentStatus.RELEASED)
            _notify(actions, number, state.requests[number], "your payment was released")
        case Processing():
            state.payments[number] = replace(payment, asked=payment.asked + 1)
            actions.add(Tracked((RELEASE, number), Release(number), after=RECHECK_SECONDS))
        case _:
            raise UnexpectedResult(f"{result} is no answer to the release of request {number}")


def _notify(actions: Actions, number: int, request: Request, message: str) -> None:
    actions.add(Untracked(Notify(request.asked.patient.user, f"request {number}: {message}")))
