"""Leaves it to the client to look whether a seat is free: two that look at once both get it."""

import random
from typing import Any

from tests.simulation.theatre import Reserve, Theatre, TheatreState, TheatreWorkload

EXPECTED = "one guest a seat"


class Trusting(Theatre):
    def require_free(self, state: TheatreState, seat: int) -> None:
        pass


class Planted(TheatreWorkload):
    machine = Trusting

    def next_input(self, rng: random.Random, view: TheatreState) -> Any:
        wish = super().next_input(rng, view)
        return None if isinstance(wish, Reserve) and wish.seat in view.seats else wish
