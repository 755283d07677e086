"""Remembers in a global which seats are taken, and does not ask the state about those."""

import random
from collections.abc import Iterator
from typing import Any

from phasm_fdb import Actions
from tests.simulation.theatre import Booking, SeatTaken, Theatre, TheatreState, TheatreWorkload

EXPECTED = "serializable and deterministic"

TAKEN: dict[int, int] = {}


class Caches(Theatre):
    def require_free(self, state: TheatreState, seat: int) -> None:
        if seat in TAKEN:
            raise SeatTaken(f"seat {seat} is taken by booking {TAKEN[seat]}")
        super().require_free(state, seat)

    def hold(self, state: TheatreState, number: int, booking: Booking) -> None:
        super().hold(state, number, booking)
        TAKEN[booking.seat] = number

    def declined(self, state: TheatreState, number: int, booking: Booking) -> None:
        super().declined(state, number, booking)
        TAKEN.pop(booking.seat, None)

    def cancel(self, state: TheatreState, number: int, actions: Actions) -> None:
        super().cancel(state, number, actions)
        TAKEN.pop(state.bookings[number].seat, None)


class Planted(TheatreWorkload):
    machine = Caches

    def setup(self, rng: random.Random) -> Iterator[Any]:
        TAKEN.clear()  # as in a new process
        return super().setup(rng)
