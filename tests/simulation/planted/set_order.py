"""Seats the guest on any free seat: the first one of a set, whose order depends on where its objects lie in memory."""

from dataclasses import replace
from typing import Any

from phasm_fdb import Actions, Normal
from tests.simulation.theatre import SEATS, Reserve, SeatTaken, Theatre, TheatreState, TheatreWorkload

EXPECTED = "serializable and deterministic"


class Seat:
    """A seat, which is equal to itself only."""

    def __init__(self, number: int) -> None:
        self.number = number


class Iterates(Theatre):
    def reserve(self, state: TheatreState, input: Normal[Any], wish: Reserve, actions: Actions) -> int:
        free = {Seat(number) for number in range(SEATS) if number not in state.seats}
        if not free:
            raise SeatTaken("the house is full")
        return super().reserve(state, input, replace(wish, seat=next(iter(free)).number), actions)


class Planted(TheatreWorkload):
    machine = Iterates
