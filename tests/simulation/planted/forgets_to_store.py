"""Emits the charge, and does not note the booking: after a crash `restore` does not know of it."""

from typing import Any

from tests.simulation.theatre import Booking, Theatre, TheatreState, TheatreWorkload

EXPECTED = "KeyError"


class Forgets(Theatre):
    def hold(self, state: TheatreState, number: int, booking: Booking) -> None:
        state.seats[booking.seat] = number

    def check_changes(self, state: TheatreState, changes: Any) -> None:
        pass


class Planted(TheatreWorkload):
    machine = Forgets
