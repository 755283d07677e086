"""The dentist: what is asked for, what is booked, and what becomes of the money."""

from __future__ import annotations

from typing import Any

import pytest

from layers.dentist_booking import (
    HOLD,
    RELEASE,
    Authorized,
    Booking,
    BookingSystem,
    CheckStatus,
    Day,
    Declined,
    HoursInUse,
    InvalidRequest,
    Log,
    NoSlotFound,
    NotFound,
    Notify,
    Patient,
    Payment,
    PaymentStatus,
    Preauthorize,
    Processing,
    Release,
    Released,
    RequestAuto,
    RequestSlot,
    SetHours,
    Slot,
    SlotNotAvailable,
    Status,
    TimeRange,
    Treatment,
    UnexpectedResult,
    at,
    default_schedule,
)
from phasm_fdb import Layer, Subspace, Tracked, Untracked

ANN = Patient(1, "Ann", "ann@example.com")
BOB = Patient(2, "Bob", "bob@example.com")
MONDAY_AT_NINE = Slot(Day.MONDAY, 0, at(9))
MORNING = TimeRange(at(9), at(12))


@pytest.fixture
def dentist(db: Any, subspace: Subspace) -> Layer:
    layer = Layer(BookingSystem(), subspace, checked=True)
    for change in default_schedule():
        layer.apply(db, change)
    return layer


def ask(db: Any, dentist: Layer, slot: Slot, treatment: Treatment = Treatment.CHECKUP, patient: Patient = ANN) -> int:
    number: int = dentist.apply(db, RequestSlot(patient, treatment, slot)).reply
    return number


def book(db: Any, dentist: Layer, slot: Slot, treatment: Treatment = Treatment.CHECKUP, patient: Patient = ANN) -> int:
    number = ask(db, dentist, slot, treatment, patient)
    dentist.complete(db, (HOLD, number), Authorized(treatment.cents))
    return number


def state_of(db: Any, dentist: Layer, number: int) -> tuple[Status, PaymentStatus]:
    view = dentist.view(db)
    return view.requests[number].status, view.payments[number].status


# ------------------------------------------------------------------------------- asking for a certain slot


def test_a_slot_is_asked_for_paid_and_booked(db: Any, dentist: Layer) -> None:
    asked = dentist.apply(db, RequestSlot(ANN, Treatment.CHECKUP, MONDAY_AT_NINE))
    assert asked.reply == 1
    assert asked.tracked == (Tracked((HOLD, 1), Preauthorize(1, ANN.user, 7_500)),)
    assert state_of(db, dentist, 1) == (Status.AWAITING_PREAUTH, PaymentStatus.REQUESTED)
    assert dict(dentist.view(db).bookings.items()) == {}

    confirmed = dentist.complete(db, (HOLD, 1), Authorized(7_500))
    assert confirmed.untracked == (Untracked(Notify(ANN.user, "request 1: your checkup is booked")),)
    assert state_of(db, dentist, 1) == (Status.CONFIRMED, PaymentStatus.HELD)
    booking = Booking(1, ANN, Treatment.CHECKUP, 7_500)
    assert dict(dentist.view(db).bookings.items()) == {MONDAY_AT_NINE: booking}
    assert list(dentist.pending(db)) == []
    dentist.check(db)


def test_a_booked_slot_is_refused(db: Any, dentist: Layer) -> None:
    book(db, dentist, MONDAY_AT_NINE)
    with pytest.raises(SlotNotAvailable):
        ask(db, dentist, MONDAY_AT_NINE, patient=BOB)
    assert dentist.view(db).last_request.get() == 1
    assert list(dentist.pending(db)) == []


@pytest.mark.parametrize(
    ("minute", "treatment", "free"),
    [
        (at(9, 30), Treatment.CLEANING, True),
        (at(9, 30), Treatment.CHECKUP, True),
        (at(9, 30), Treatment.FILLING, False),
        (at(9, 45), Treatment.CLEANING, True),
        (at(9, 45), Treatment.CHECKUP, False),
        (at(10), Treatment.CLEANING, False),
        (at(10, 45), Treatment.CLEANING, False),
        (at(11), Treatment.CLEANING, True),
        (at(9), Treatment.ROOT_CANAL, True),
        (at(9, 15), Treatment.ROOT_CANAL, False),
    ],
)
def test_a_slot_must_not_overlap_a_booking(
    db: Any, dentist: Layer, minute: int, treatment: Treatment, free: bool
) -> None:
    book(db, dentist, Slot(Day.MONDAY, 0, at(10)), Treatment.ROOT_CANAL)
    slot = Slot(Day.MONDAY, 0, minute)
    if free:
        ask(db, dentist, slot, treatment)
    else:
        with pytest.raises(SlotNotAvailable):
            ask(db, dentist, slot, treatment)


@pytest.mark.parametrize(
    "slot",
    [
        Slot(Day.MONDAY, 0, at(8, 45)),
        Slot(Day.MONDAY, 0, at(11, 45)),
        Slot(Day.MONDAY, 0, at(12, 30)),
        Slot(Day.SUNDAY, 0, at(10)),
    ],
)
def test_a_slot_lies_inside_one_range_of_the_working_hours(db: Any, dentist: Layer, slot: Slot) -> None:
    with pytest.raises(SlotNotAvailable):
        ask(db, dentist, slot)


@pytest.mark.parametrize("slot", [Slot(Day.MONDAY, -1, at(9)), Slot(Day.MONDAY, 0, -15), Slot(Day.MONDAY, 0, 24 * 60)])
def test_a_slot_that_does_not_exist_is_refused(db: Any, dentist: Layer, slot: Slot) -> None:
    with pytest.raises(InvalidRequest):
        ask(db, dentist, slot)


def test_the_same_time_in_another_week_is_another_slot(db: Any, dentist: Layer) -> None:
    book(db, dentist, MONDAY_AT_NINE)
    assert book(db, dentist, Slot(Day.MONDAY, 1, at(9))) == 2


def test_prices_and_durations() -> None:
    assert {treatment.value: (treatment.minutes, treatment.cents) for treatment in Treatment} == {
        "cleaning": (15, 5_000),
        "checkup": (30, 7_500),
        "filling": (45, 15_000),
        "root canal": (60, 20_000),
    }


# ------------------------------------------------------------------------------------ asking for any slot


def any_slot(
    treatment: Treatment = Treatment.CHECKUP,
    days: tuple[Day, ...] = (Day.MONDAY, Day.TUESDAY),
    times: tuple[TimeRange, ...] = (MORNING,),
) -> RequestAuto:
    return RequestAuto(BOB, treatment, 0, days, times)


def chosen(db: Any, dentist: Layer, asked: RequestAuto) -> Slot:
    number = dentist.apply(db, asked).reply
    slot: Slot = dentist.view(db).requests[number].slot
    return slot


def test_the_earliest_slot_of_the_first_day_is_chosen(db: Any, dentist: Layer) -> None:
    assert chosen(db, dentist, any_slot()) == MONDAY_AT_NINE
    assert chosen(db, dentist, any_slot(days=(Day.TUESDAY, Day.MONDAY))) == Slot(Day.TUESDAY, 0, at(9))


def test_booked_time_is_stepped_over_by_quarters(db: Any, dentist: Layer) -> None:
    book(db, dentist, MONDAY_AT_NINE, Treatment.FILLING)
    book(db, dentist, Slot(Day.MONDAY, 0, at(10)), Treatment.CLEANING)
    assert chosen(db, dentist, any_slot(Treatment.CLEANING)) == Slot(Day.MONDAY, 0, at(9, 45))
    assert chosen(db, dentist, any_slot(Treatment.CHECKUP)) == Slot(Day.MONDAY, 0, at(10, 15))


def test_times_are_tried_in_the_order_of_the_day(db: Any, dentist: Layer) -> None:
    times = (TimeRange(at(14), at(16)), TimeRange(at(10), at(13)))
    assert chosen(db, dentist, any_slot(Treatment.ROOT_CANAL, (Day.TUESDAY,), times)) == Slot(Day.TUESDAY, 0, at(10))


def test_a_full_day_leads_to_the_next_one(db: Any, dentist: Layer) -> None:
    for hour in (9, 10, 11):
        book(db, dentist, Slot(Day.MONDAY, 0, at(hour)), Treatment.ROOT_CANAL)
    assert chosen(db, dentist, any_slot()) == Slot(Day.TUESDAY, 0, at(9))


def test_a_treatment_fits_in_the_preferred_times_as_a_whole(db: Any, dentist: Layer) -> None:
    with pytest.raises(NoSlotFound):
        chosen(db, dentist, any_slot(Treatment.FILLING, times=(TimeRange(at(9), at(9, 30)),)))
    with pytest.raises(NoSlotFound):
        chosen(db, dentist, any_slot(days=(Day.SUNDAY,)))


@pytest.mark.parametrize(
    "asked", [any_slot(days=()), any_slot(times=(TimeRange(at(9), at(9)),)), any_slot(times=(TimeRange(0, 1441),))]
)
def test_days_and_times_that_do_not_exist_are_refused(db: Any, dentist: Layer, asked: RequestAuto) -> None:
    with pytest.raises(InvalidRequest):
        dentist.apply(db, asked)


def test_what_is_chosen_is_booked(db: Any, dentist: Layer) -> None:
    """PHASM's test of preferences: certain slots and any slot, of all durations."""
    book(db, dentist, Slot(Day.WEDNESDAY, 0, at(14, 30)), Treatment.FILLING)
    times = (TimeRange(at(10), at(13)), TimeRange(at(14), at(16)))
    asked = dentist.apply(db, any_slot(Treatment.ROOT_CANAL, (Day.TUESDAY, Day.THURSDAY), times))
    dentist.complete(db, (HOLD, asked.reply), Authorized(20_000))
    book(db, dentist, Slot(Day.FRIDAY, 0, at(9)), Treatment.CLEANING)
    book(db, dentist, Slot(Day.FRIDAY, 0, at(10)), Treatment.CHECKUP)
    bookings = {slot: booking.treatment for slot, booking in dentist.view(db).bookings.items()}
    assert bookings == {
        Slot(Day.TUESDAY, 0, at(10)): Treatment.ROOT_CANAL,
        Slot(Day.WEDNESDAY, 0, at(14, 30)): Treatment.FILLING,
        Slot(Day.FRIDAY, 0, at(9)): Treatment.CLEANING,
        Slot(Day.FRIDAY, 0, at(10)): Treatment.CHECKUP,
    }
    dentist.check(db)


def test_five_bookings_in_a_row_keep_the_invariants(db: Any, dentist: Layer) -> None:
    for index in range(5):
        book(db, dentist, Slot(Day.MONDAY, 0, at(9) + 30 * index))
        dentist.check(db)
    assert [slot.minute for slot in dentist.view(db).bookings] == [540, 570, 600, 630, 660]


# ------------------------------------------------------------------------------------------ what is paid


def test_the_first_payment_gets_the_slot_and_the_others_are_released(db: Any, dentist: Layer) -> None:
    ann, bob = ask(db, dentist, MONDAY_AT_NINE), ask(db, dentist, MONDAY_AT_NINE, patient=BOB)
    dentist.complete(db, (HOLD, bob), Authorized(7_500))
    late = dentist.complete(db, (HOLD, ann), Authorized(7_500))
    assert late.tracked == (Tracked((RELEASE, ann), Release(ann)),)
    assert late.untracked == (Untracked(Notify(ANN.user, f"request {ann}: your slot was taken meanwhile")),)
    assert state_of(db, dentist, ann) == (Status.SLOT_TAKEN, PaymentStatus.RELEASING)
    assert dentist.view(db).bookings[MONDAY_AT_NINE].patient == BOB

    dentist.complete(db, (RELEASE, ann), Released())
    assert state_of(db, dentist, ann) == (Status.SLOT_TAKEN, PaymentStatus.RELEASED)
    assert list(dentist.pending(db)) == []


def test_a_declined_card_books_nothing(db: Any, dentist: Layer) -> None:
    number = ask(db, dentist, MONDAY_AT_NINE)
    declined = dentist.complete(db, (HOLD, number), Declined("no funds"))
    assert declined.untracked == (Untracked(Notify(1, "request 1: your card was declined (no funds)")),)
    assert state_of(db, dentist, number) == (Status.PAYMENT_FAILED, PaymentStatus.DECLINED)
    assert book(db, dentist, MONDAY_AT_NINE, patient=BOB) == 2


def test_another_amount_than_the_price_is_released(db: Any, dentist: Layer) -> None:
    number = ask(db, dentist, MONDAY_AT_NINE)
    odd = dentist.complete(db, (HOLD, number), Authorized(7_499))
    assert odd.tracked == (Tracked((RELEASE, number), Release(number)),)
    assert odd.untracked == (Untracked(Log("request 1: 7499 cents are held instead of 7500")),)
    dentist.complete(db, (RELEASE, number), Released())
    assert state_of(db, dentist, number) == (Status.PAYMENT_FAILED, PaymentStatus.RELEASED)


def test_a_provider_that_is_at_it_is_asked_again_later(db: Any, dentist: Layer) -> None:
    number = ask(db, dentist, MONDAY_AT_NINE)
    again = dentist.complete(db, (HOLD, number), Processing())
    assert again.tracked == (Tracked((HOLD, number), CheckStatus(number), after=5.0),)
    assert dentist.view(db).payments[number] == Payment(7_500, PaymentStatus.REQUESTED, asked=2)


def test_a_payment_that_never_arrived_is_made_again(db: Any, dentist: Layer) -> None:
    number = ask(db, dentist, MONDAY_AT_NINE)
    again = dentist.complete(db, (HOLD, number), NotFound())
    assert again.tracked == (Tracked((HOLD, number), Preauthorize(number, 1, 7_500)),)
    assert dentist.view(db).payments[number] == Payment(7_500, PaymentStatus.REQUESTED, asked=2)


def test_a_slow_release_is_made_again_and_one_of_nothing_is_done(db: Any, dentist: Layer) -> None:
    number = ask(db, dentist, MONDAY_AT_NINE)
    book(db, dentist, MONDAY_AT_NINE, patient=BOB)
    dentist.complete(db, (HOLD, number), Authorized(7_500))
    again = dentist.complete(db, (RELEASE, number), Processing())
    assert again.tracked == (Tracked((RELEASE, number), Release(number), after=5.0),)
    dentist.complete(db, (RELEASE, number), NotFound())
    assert state_of(db, dentist, number) == (Status.SLOT_TAKEN, PaymentStatus.RELEASED)


def test_a_result_that_answers_something_else_is_refused(db: Any, dentist: Layer) -> None:
    first, second = ask(db, dentist, MONDAY_AT_NINE), ask(db, dentist, MONDAY_AT_NINE)
    with pytest.raises(UnexpectedResult):
        dentist.complete(db, (HOLD, first), Released())
    dentist.complete(db, (HOLD, first), Authorized(7_500))
    dentist.complete(db, (HOLD, second), Authorized(7_500))
    with pytest.raises(UnexpectedResult):
        dentist.complete(db, (RELEASE, second), Authorized(7_500))
    assert [tracked.id for tracked in dentist.pending(db)] == [(RELEASE, second)]


def test_restore_looks_up_holds_and_repeats_releases(db: Any, dentist: Layer) -> None:
    book(db, dentist, Slot(Day.FRIDAY, 0, at(9)))
    taken, winner, waiting = (ask(db, dentist, MONDAY_AT_NINE) for _ in range(3))
    dentist.complete(db, (HOLD, winner), Authorized(7_500))
    dentist.complete(db, (HOLD, taken), Authorized(7_500))
    assert set(dentist.restore(db)) == {
        Tracked((HOLD, waiting), CheckStatus(waiting)),
        Tracked((RELEASE, taken), Release(taken)),
    }


# ------------------------------------------------------------------------------------------ the schedule


def test_hours_hold_from_their_week_until_the_next_change(db: Any, dentist: Layer) -> None:
    dentist.apply(db, SetHours(Day.SATURDAY, (MORNING,), from_week=2))
    dentist.apply(db, SetHours(Day.SATURDAY, (), from_week=4))
    for week in (0, 1, 4, 5):
        with pytest.raises(SlotNotAvailable):
            ask(db, dentist, Slot(Day.SATURDAY, week, at(9)))
    for week in (2, 3):
        book(db, dentist, Slot(Day.SATURDAY, week, at(9)))


def test_hours_do_not_close_out_a_booking(db: Any, dentist: Layer) -> None:
    book(db, dentist, Slot(Day.MONDAY, 3, at(9)))
    afternoon = (TimeRange(at(14), at(17)),)
    with pytest.raises(HoursInUse, match="minute=540"):
        dentist.apply(db, SetHours(Day.MONDAY, afternoon))
    dentist.apply(db, SetHours(Day.MONDAY, afternoon, from_week=4))
    dentist.apply(db, SetHours(Day.MONDAY, (TimeRange(at(9), at(9, 30)),), from_week=2))
    dentist.check(db)


def test_a_slot_that_was_closed_meanwhile_is_released(db: Any, dentist: Layer) -> None:
    number = ask(db, dentist, MONDAY_AT_NINE)
    dentist.apply(db, SetHours(Day.MONDAY, ()))
    assert dentist.complete(db, (HOLD, number), Authorized(7_500)).tracked[0].action == Release(number)


@pytest.mark.parametrize(
    "change",
    [
        SetHours(Day.MONDAY, (TimeRange(at(14), at(17)), MORNING)),
        SetHours(Day.MONDAY, (MORNING, TimeRange(at(11), at(13)))),
        SetHours(Day.MONDAY, (TimeRange(at(12), at(9)),)),
        SetHours(Day.MONDAY, (MORNING,), from_week=-1),
    ],
)
def test_hours_that_make_no_sense_are_refused(db: Any, dentist: Layer, change: SetHours) -> None:
    with pytest.raises(InvalidRequest):
        dentist.apply(db, change)
