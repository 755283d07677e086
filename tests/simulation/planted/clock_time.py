"""Takes the time from the clock: what it is depends on when it is asked."""

import time

from tests.simulation.theatre import Theatre, TheatreState, TheatreWorkload

EXPECTED = ("NondeterminismError", "serializable and deterministic")


class Clock(Theatre):
    def new_number(self, state: TheatreState) -> int:
        return time.time_ns() // 1000


class Planted(TheatreWorkload):
    machine = Clock
