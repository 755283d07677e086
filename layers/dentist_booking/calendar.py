"""Finding free time: working hours, overlaps, and the earliest slot that fits."""

from __future__ import annotations

from layers.dentist_booking.state import BookingState
from layers.dentist_booking.types import (
    LONGEST_MINUTES,
    STEP_MINUTES,
    Booking,
    Day,
    RequestAuto,
    Slot,
    TimeRange,
    Treatment,
)

LAST_WEEK = 2**32


def hours_on(state: BookingState, day: Day, week: int) -> tuple[TimeRange, ...]:
    """The working hours of a day: the last change that holds from that week or before."""
    for _, ranges in state.hours.items((day, 0), (day, week + 1), reverse=True, limit=1):
        return ranges
    return ()


def is_open(hours: tuple[TimeRange, ...], minute: int, duration: int) -> bool:
    """Whether something of that many minutes lies within one range of the hours."""
    return any(range_.holds(minute, duration) for range_ in hours)


def first_overlap(state: BookingState, slot: Slot, duration: int) -> tuple[Slot, Booking] | None:
    """The first booking that has a minute in common with so many minutes from the slot on."""
    earliest = Slot(slot.day, slot.week, max(0, slot.minute - LONGEST_MINUTES + 1))
    after = Slot(slot.day, slot.week, slot.minute + duration)
    for other, booking in state.bookings.items(earliest, after):
        if other.minute + booking.treatment.minutes > slot.minute:
            return other, booking
    return None


def is_available(state: BookingState, slot: Slot, treatment: Treatment) -> bool:
    """Whether a treatment can be booked there."""
    duration = treatment.minutes
    hours = hours_on(state, slot.day, slot.week)
    return is_open(hours, slot.minute, duration) and first_overlap(state, slot, duration) is None


def find_slot(state: BookingState, asked: RequestAuto) -> Slot | None:
    """The earliest free slot on the first of the preferred days that has one, in steps of 15 minutes.

    The steps count from where a working range and a preferred range begin to overlap.
    """
    duration = asked.treatment.minutes
    for day in asked.days:
        hours = hours_on(state, day, asked.week)
        busy = _busy(state, day, asked.week)
        starts = (
            _first_free(TimeRange(max(open_.start, wanted.start), min(open_.end, wanted.end)), busy, duration)
            for open_ in hours
            for wanted in asked.times
        )
        minute = min((start for start in starts if start is not None), default=None)
        if minute is not None:
            return Slot(day, asked.week, minute)
    return None


def first_outside(
    state: BookingState, day: Day, weeks: tuple[int, int], hours: tuple[TimeRange, ...]
) -> tuple[Slot, Booking] | None:
    """The first booking on that day of the week in `weeks[0] <= week < weeks[1]` that is not within the hours."""
    for slot, booking in state.bookings.items(Slot(day, weeks[0], 0), Slot(day, weeks[1], 0)):
        if not is_open(hours, slot.minute, booking.treatment.minutes):
            return slot, booking
    return None


def weeks_until_next_change(state: BookingState, day: Day, from_week: int) -> tuple[int, int]:
    """The weeks, `first <= week < last`, in which a change of the hours from that week on counts."""
    for _, next_change in state.hours.keys((day, from_week + 1), (day, LAST_WEEK), limit=1):
        return from_week, next_change
    return from_week, LAST_WEEK


def _busy(state: BookingState, day: Day, week: int) -> list[TimeRange]:
    return [
        TimeRange(slot.minute, slot.minute + booking.treatment.minutes)
        for slot, booking in state.bookings.items(prefix=(day, week))
    ]


def _first_free(window: TimeRange, busy: list[TimeRange], duration: int) -> int | None:
    for minute in range(window.start, window.end - duration + 1, STEP_MINUTES):
        if all(minute >= taken.end or minute + duration <= taken.start for taken in busy):
            return minute
    return None
