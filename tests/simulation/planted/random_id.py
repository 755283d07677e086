"""Takes the booking's number from a random source."""

import random

from tests.simulation.theatre import Theatre, TheatreState, TheatreWorkload

EXPECTED = ("NondeterminismError", "serializable and deterministic")


class Random(Theatre):
    def new_number(self, state: TheatreState) -> int:
        return random.getrandbits(40)


class Planted(TheatreWorkload):
    machine = Random
