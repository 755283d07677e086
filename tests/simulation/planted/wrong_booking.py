"""Books a payment on the booking that was made last, instead of the one that the result is for."""

from phasm_fdb import Actions
from tests.simulation.theatre import Booking, Theatre, TheatreState, TheatreWorkload

EXPECTED = ("exactly once", "takings add up", "one guest a seat")


class Confuses(Theatre):
    def paid(self, state: TheatreState, number: int, booking: Booking, cents: int, actions: Actions) -> None:
        last = state.last_booking.get()
        super().paid(state, last, state.bookings[last], cents, actions)


class Planted(TheatreWorkload):
    machine = Confuses
