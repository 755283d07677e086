"""Whether the practice's state and the payment provider's books agree, once everything is at rest."""

from __future__ import annotations

from collections.abc import Mapping

from layers.dentist_booking.provider import HELD, Hold, reference
from layers.dentist_booking.state import BookingState
from layers.dentist_booking.types import UNRESOLVED
from phasm_fdb import InvariantViolation


def check_books(state: BookingState, books: Mapping[str, Hold]) -> None:
    """Check that every payment is resolved, once, and that no money is held that nobody knows of.

    Raises:
        InvariantViolation: a payment is unresolved, was made twice, or differs from the books.
    """
    unknown = dict(books)
    for number, payment in state.payments.items():
        hold = unknown.pop(reference(number), None)
        if payment.status in UNRESOLVED:
            raise InvariantViolation(f"payments resolved: request {number} has {payment}")
        if hold is None or hold.status != payment.status.value:
            raise InvariantViolation(f"payments in the books: request {number} has {payment}, and the books {hold}")
        if hold.authorized > 1 or hold.released > 1 or hold.authorized - hold.released != (hold.status == HELD):
            raise InvariantViolation(f"payments resolved once: request {number} has {hold}")
    if unknown:
        raise InvariantViolation(f"payments all tracked: the books have {unknown}, of which the state knows nothing")
