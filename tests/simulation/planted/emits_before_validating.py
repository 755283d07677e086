"""Emits the charge first, and then finds the seat taken, which it only replies."""

from typing import Any

from phasm_fdb import Actions, Normal
from tests.simulation.theatre import Booking, Reserve, Theatre, TheatreState, TheatreWorkload

EXPECTED = ("KeyError", "restore names what is pending")


class Hasty(Theatre):
    def reserve(self, state: TheatreState, input: Normal[Any], wish: Reserve, actions: Actions) -> int:
        number = self.new_number(state)
        booking = Booking(wish.user, wish.seat, self.price(wish.seat))
        self.charge(number, booking, actions)
        if wish.seat in state.seats:
            return 0
        self.hold(state, number, booking)
        return number


class Planted(TheatreWorkload):
    machine = Hasty
