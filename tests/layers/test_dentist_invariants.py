"""The two forms of the dentist's invariants agree: what the whole state shows, the changes alone show."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import phasm_fdb
from layers.dentist_booking import (
    HOLD,
    RELEASE,
    Authorized,
    Booking,
    BookingState,
    BookingSystem,
    Day,
    Declined,
    Patient,
    Payment,
    PaymentStatus,
    Released,
    Request,
    RequestAuto,
    RequestSlot,
    Slot,
    Status,
    TimeRange,
    Treatment,
    at,
    default_schedule,
    invariants,
)
from phasm_fdb import Changes, InvariantViolation, Layer, Subspace

SPACE = Subspace(("dentist",))
ANN, BOB = Patient(1, "Ann", "a@example.com"), Patient(2, "Bob", "b@example.com")
DAYS = (Day.MONDAY, Day.FRIDAY)
SLOTS = [
    Slot(day, week, at(hour, minute)) for day in DAYS for week in (0, 1) for hour in (9, 10, 14) for minute in (0, 30)
]


def a_valid_state() -> Any:
    """A memory database with requests of every kind."""
    db = phasm_fdb.open("memory:")
    layer = Layer(BookingSystem(), SPACE)
    for change in default_schedule():
        layer.apply(db, change)
    treatments = list(Treatment)
    asked = [RequestSlot(ANN, treatments[index % 4], slot) for index, slot in enumerate(SLOTS[:16])]
    numbers = [layer.apply(db, one).reply for one in (*asked, *asked[:4])]
    numbers += [
        layer.apply(db, RequestAuto(BOB, Treatment.CLEANING, week, DAYS, (TimeRange(at(9), at(12)),))).reply
        for week in (0, 1)
    ]
    view = layer.view(db)
    prices = {number: request.asked.treatment.cents for number, request in view.requests.items()}
    for number in numbers:
        if number % 7 == 0:
            layer.complete(db, (HOLD, number), Declined("no funds"))
        elif number % 7 != 1:
            layer.complete(db, (HOLD, number), Authorized(prices[number]))
    releasing = [tracked.id for tracked in layer.pending(db) if tracked.id[0] == RELEASE]
    layer.complete(db, releasing[0], Released())
    layer.check(db)
    return db


DB = a_valid_state()
NUMBERS = [number for number, _ in Layer(BookingSystem(), SPACE).view(DB).requests.items()]


@contextmanager
def a_transition() -> Iterator[tuple[Any, Callable[[], Changes]]]:
    """The valid state to be changed, and what was changed; nothing of it is committed."""
    tr = DB.create_transaction()
    state: Any = BookingState.over(tr, SPACE)
    yield state, lambda: Changes(BookingState.fields, state.space.rows, state.space.staged)
    tr.cancel()


def violation(check: Callable[[], None]) -> str | None:
    """The name of the invariant that a check finds violated."""
    try:
        check()
    except InvariantViolation as found:
        return str(found).partition(":")[0]
    return None


# ---------------------------------------------------------------------------- one violation of each kind


def booked(state: Any) -> tuple[Slot, Booking]:
    found: tuple[Slot, Booking] = next(iter(state.bookings.items()))
    return found


def overlap(state: Any) -> None:
    slot, booking = next((slot, one) for slot, one in state.bookings.items() if one.treatment.minutes > 15)
    state.bookings[replace(slot, minute=slot.minute + 15)] = booking


def overlap_from_before(state: Any) -> None:
    slot, booking = booked(state)
    state.bookings[replace(slot, minute=slot.minute - 5)] = booking


def outside_hours(state: Any) -> None:
    _, booking = booked(state)
    state.bookings[Slot(Day.MONDAY, 0, at(20))] = booking


def hours_shrink(state: Any) -> None:
    slot, _ = booked(state)
    state.hours[slot.day, 0] = (TimeRange(at(16), at(17)),)


def hours_vanish(state: Any) -> None:
    del state.hours[Day.MONDAY, 0]


def hours_overlap(state: Any) -> None:
    state.hours[Day.SUNDAY, 5] = (TimeRange(at(9), at(12)), TimeRange(at(11), at(13)))


def booking_vanishes(state: Any) -> None:
    del state.bookings[booked(state)[0]]


def booking_changes_hands(state: Any) -> None:
    (slot, booking), (_, other) = list(state.bookings.items(limit=2))
    state.bookings[slot] = replace(booking, request=other.request)


def request_vanishes(state: Any) -> None:
    number = booked(state)[1].request
    del state.requests[number]
    del state.payments[number]


def request_is_not_confirmed_any_more(state: Any) -> None:
    number = booked(state)[1].request
    state.requests[number] = replace(state.requests[number], status=Status.SLOT_TAKEN)
    state.payments[number] = replace(state.payments[number], status=PaymentStatus.RELEASED)


def confirmed_without_booking(state: Any) -> None:
    number = next(number for number, one in state.requests.items() if one.status is Status.AWAITING_PREAUTH)
    state.requests[number] = replace(state.requests[number], status=Status.CONFIRMED)
    state.payments[number] = replace(state.payments[number], status=PaymentStatus.HELD)


def payment_vanishes(state: Any) -> None:
    del state.payments[NUMBERS[3]]


def payment_of_nobody(state: Any) -> None:
    state.payments[999] = Payment(5_000)


def payment_of_another_amount(state: Any) -> None:
    state.payments[NUMBERS[3]] = replace(state.payments[NUMBERS[3]], cents=1)


def payment_declined_but_booked(state: Any) -> None:
    number = booked(state)[1].request
    state.payments[number] = replace(state.payments[number], status=PaymentStatus.DECLINED)


def another_treatment(state: Any) -> None:
    slot, booking = next((slot, one) for slot, one in state.bookings.items() if one.treatment is not Treatment.CLEANING)
    state.bookings[slot] = replace(booking, treatment=Treatment.CLEANING)


def another_slot(state: Any) -> None:
    number = next(number for number, one in state.requests.items() if one.status is Status.AWAITING_PREAUTH)
    request = state.requests[number]
    state.requests[number] = replace(request, slot=replace(request.slot, week=5))


def everything_cleared(state: Any) -> None:
    state.payments.clear()


PLANTED: dict[Callable[[Any], None], str] = {
    overlap: invariants.NO_OVERLAP,
    overlap_from_before: invariants.NO_OVERLAP,
    outside_hours: invariants.WORKING_HOURS,
    hours_shrink: invariants.WORKING_HOURS,
    hours_vanish: invariants.WORKING_HOURS,
    hours_overlap: invariants.WORKING_HOURS,
    booking_vanishes: invariants.CONFIRMED,
    booking_changes_hands: invariants.CONFIRMED,
    request_vanishes: invariants.CONFIRMED,
    request_is_not_confirmed_any_more: invariants.CONFIRMED,
    confirmed_without_booking: invariants.CONFIRMED,
    payment_vanishes: invariants.TRACKED,
    payment_of_nobody: invariants.TRACKED,
    payment_of_another_amount: invariants.TRACKED,
    payment_declined_but_booked: invariants.TRACKED,
    another_treatment: invariants.AS_ASKED,
    another_slot: invariants.AS_ASKED,
    everything_cleared: invariants.TRACKED,
}


def test_the_valid_state_is_valid() -> None:
    with a_transition() as (state, changes):
        assert violation(lambda: invariants.check_all(state)) is None
        assert violation(lambda: invariants.check_changes(state, changes())) is None


@pytest.mark.parametrize("plant", PLANTED, ids=lambda plant: plant.__name__)
def test_both_forms_find_a_planted_violation(plant: Callable[[Any], None]) -> None:
    with a_transition() as (state, changes):
        plant(state)
        assert violation(lambda: invariants.check_all(state)) == PLANTED[plant]
        assert violation(lambda: invariants.check_changes(state, changes())) == PLANTED[plant]


# ----------------------------------------------------------------------------------- any changes at all

numbers = st.sampled_from([*NUMBERS, 999])
slots = st.sampled_from(SLOTS)
treatments = st.sampled_from(Treatment)
patients = st.sampled_from([ANN, BOB])
ranges = st.sampled_from([TimeRange(at(9), at(12)), TimeRange(at(14), at(17)), TimeRange(at(9), at(15))])
asked = st.builds(RequestSlot, patients, treatments, slots) | st.builds(
    RequestAuto, patients, treatments, st.sampled_from([0, 1]), st.just(DAYS), st.tuples(ranges)
)
writes = st.one_of(
    st.tuples(st.just("requests"), numbers, st.none() | st.builds(Request, asked, slots, st.sampled_from(Status))),
    st.tuples(
        st.just("payments"),
        numbers,
        st.none() | st.builds(Payment, treatments.map(lambda one: one.cents), st.sampled_from(PaymentStatus)),
    ),
    st.tuples(
        st.just("bookings"),
        slots,
        st.none() | st.builds(Booking, numbers, patients, treatments, treatments.map(lambda one: one.cents)),
    ),
    st.tuples(
        st.just("hours"),
        st.tuples(st.sampled_from(DAYS), st.sampled_from([0, 1, 2])),
        st.none() | st.lists(ranges, max_size=2).map(tuple),
    ),
    st.tuples(st.just("move"), slots, slots),
    st.tuples(st.just("confirm"), numbers, slots),
)


def write(state: Any, field: str, key: Any, value: Any) -> None:
    """One change, of a single row or of rows that belong together."""
    if field == "move":
        booking = state.bookings.get(key)
        if booking is not None:
            state.bookings.discard(key)
            state.bookings[value] = booking
    elif field == "confirm":
        request = state.requests.get(key)
        if request is not None:
            asked = request.asked
            state.requests[key] = replace(request, status=Status.CONFIRMED)
            state.payments[key] = Payment(asked.treatment.cents, PaymentStatus.HELD)
            state.bookings[request.slot] = Booking(key, asked.patient, asked.treatment, asked.treatment.cents)
    elif value is None:
        getattr(state, field).discard(key)
    else:
        getattr(state, field)[key] = value


@settings(max_examples=400)
@given(st.lists(writes, min_size=1, max_size=4))
def test_the_incremental_form_finds_what_the_full_one_finds(changed: list[tuple[str, Any, Any]]) -> None:
    with a_transition() as (state, changes):
        for field, key, value in changed:
            write(state, field, key, value)
        whole = violation(lambda: invariants.check_all(state))
        incremental = violation(lambda: invariants.check_changes(state, changes()))
        assert (whole is None) == (incremental is None), f"the whole state shows {whole}, the changes {incremental}"


# ------------------------------------------------------------------------------------------ what it costs


class CountingReads:
    """A transaction that counts the rows it gives."""

    def __init__(self, tr: Any) -> None:
        self._tr = tr
        self.count = 0

    def get(self, key: bytes) -> Any:
        self.count += 1
        return self._tr.get(key)

    def get_range(self, *args: Any, **kwargs: Any) -> Iterator[Any]:
        for row in self._tr.get_range(*args, **kwargs):
            self.count += 1
            yield row

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tr, name)


def rows_read(weeks: int) -> int:
    """How many rows a confirmation and its incremental check read, with a full practice for so many weeks."""
    db = phasm_fdb.open("memory:")
    layer = Layer(BookingSystem(), SPACE)
    for change in default_schedule():
        layer.apply(db, change)
    with_bookings(db, weeks)
    layer.apply(db, RequestSlot(ANN, Treatment.CHECKUP, Slot(Day.FRIDAY, weeks, at(9))))
    tr = CountingReads(db.create_transaction())
    machine = BookingSystem()
    state: Any = BookingState.over(tr, SPACE)
    actions = phasm_fdb.Actions()
    number = state.last_request.get()
    machine.stf(state, phasm_fdb.TrackedActionCompleted((HOLD, number), Authorized(7_500)), actions)
    machine.check_changes(state, Changes(BookingState.fields, state.space.rows, state.space.staged))
    assert state.requests[number].status is Status.CONFIRMED
    return tr.count


def with_bookings(db: Any, weeks: int) -> None:
    """Book every hour of every Friday, straight in the state."""
    for week in range(weeks):
        tr = db.create_transaction()
        state: Any = BookingState.over(tr, SPACE)
        for hour in range(9, 15):
            slot = Slot(Day.FRIDAY, week, at(hour))
            asked = RequestSlot(ANN, Treatment.ROOT_CANAL, slot)
            number = state.last_request.take()
            state.requests[number] = Request(asked, slot, Status.CONFIRMED)
            state.payments[number] = Payment(asked.treatment.cents, PaymentStatus.HELD)
            state.bookings[slot] = Booking(number, ANN, asked.treatment, asked.treatment.cents)
        state.flush(tr)
        tr.commit().wait()


def test_a_transition_and_its_check_read_as_many_rows_however_many_bookings_there_are() -> None:
    assert rows_read(2) == rows_read(200) < 40
