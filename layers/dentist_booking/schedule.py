"""The weekly schedule that a practice starts with."""

from __future__ import annotations

from layers.dentist_booking.types import Day, SetHours, TimeRange, at

_HOURS = {
    Day.MONDAY: ((9, 12), (14, 17)),
    Day.TUESDAY: ((9, 12), (13, 16)),
    Day.WEDNESDAY: ((9, 12), (14, 18)),
    Day.THURSDAY: ((10, 13), (14, 17)),
    Day.FRIDAY: ((9, 15),),
}

WORKDAYS = tuple(_HOURS)


def default_schedule() -> list[SetHours]:
    """The inputs that set it: the hours of PHASM's example, Monday to Friday, with a lunch break but on Friday."""
    return [
        SetHours(day, tuple(TimeRange(at(start), at(end)) for start, end in ranges)) for day, ranges in _HOURS.items()
    ]
