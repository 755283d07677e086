"""Lets a booking be cancelled that was cancelled before, and gives the money back again."""

from dataclasses import replace

from phasm_fdb import Actions, Tracked
from tests.simulation.theatre import Refund, Status, Theatre, TheatreState, TheatreWorkload

EXPECTED = "the bank agrees"


class Releases(Theatre):
    def cancel(self, state: TheatreState, number: int, actions: Actions) -> None:
        booking = state.bookings.get(number)
        if booking is None or booking.status is not Status.REFUNDED:
            super().cancel(state, number, actions)
            return
        state.bookings[number] = replace(booking, status=Status.REFUNDING)
        actions.add(Tracked(("refund", number), Refund(number, booking.cents), ordering_key=booking.user))


class Planted(TheatreWorkload):
    machine = Releases
