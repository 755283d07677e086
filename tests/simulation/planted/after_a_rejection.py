"""Notes a booking in an attribute before it is refused, and the next one that is accepted pays for it too."""

from typing import Any

from phasm_fdb import Actions, Normal
from tests.simulation.theatre import Booking, Reserve, Theatre, TheatreState, TheatreWorkload

EXPECTED = "serializable and deterministic"


class Drafts(Theatre):
    def __init__(self) -> None:
        self.draft: list[int] = []

    def reserve(self, state: TheatreState, input: Normal[Any], wish: Reserve, actions: Actions) -> int:
        self.draft.append(self.price(wish.seat))
        self.require_free(state, wish.seat)
        number = self.new_number(state)
        booking = Booking(wish.user, wish.seat, sum(self.draft))
        self.draft.clear()
        self.hold(state, number, booking)
        self.charge(number, booking, actions)
        return number


class Planted(TheatreWorkload):
    machine = Drafts
