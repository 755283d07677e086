"""Random increments, counted outside the machine as well."""

from __future__ import annotations

import random

from layers.counter.machine import Counter, CounterState, Increment
from phasm_fdb.simulation import Workload


class CounterWorkload(Workload):
    """Increments and pauses; at rest every increment that was asked for has been applied once."""

    machine = Counter

    def setup(self, rng: random.Random) -> list[Increment]:
        self.asked = rng.randrange(5)
        return [Increment()] * self.asked

    def next_input(self, rng: random.Random, view: CounterState) -> Increment | None:
        if rng.random() < 0.1:
            return None
        self.asked += 1
        return Increment()

    def check(self, view: CounterState) -> None:
        value = view.value.get()
        assert value == self.asked, f"every increment once: {self.asked} were asked for, and the counter is {value}"

    def sometimes(self, view: CounterState) -> dict[str, bool]:
        return {"counted": view.value.get() > 0}
