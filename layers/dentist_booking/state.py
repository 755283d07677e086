"""What the booking system remembers.

Everything that a transition asks lies in a few neighbouring rows, however many bookings there are: what overlaps a
slot starts less than the longest treatment before it, and the hours of a slot are the last change before its week.
"""

from __future__ import annotations

from layers.dentist_booking.types import (
    UNRESOLVED,
    Booking,
    Day,
    Payment,
    PaymentStatus,
    Request,
    Slot,
    Status,
    TimeRange,
)
from phasm_fdb import Counter, Index, Map, State


class BookingState(State):
    """Fields:

    hours: the working hours of a day of the week, from a week on.
    requests, payments: by the number of the request.
    confirmed: the requests that are confirmed, by slot.
    unresolved: the payments that wait for the provider.
    bookings: by slot, which shows their order in time.
    booked_for: the slots booked for a request.
    """

    hours = Map(tuple[Day, int], tuple[TimeRange, ...])
    last_request = Counter()
    requests = Map(int, Request)
    confirmed = Index(requests, Slot, lambda request: request.slot if request.status is Status.CONFIRMED else None)
    payments = Map(int, Payment)
    unresolved = Index(
        payments, PaymentStatus, lambda payment: payment.status if payment.status in UNRESOLVED else None
    )
    bookings = Map(Slot, Booking)
    booked_for = Index(bookings, int, lambda booking: booking.request)
