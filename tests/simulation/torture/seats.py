"""The processes of a run: each has layers of its own, with settings of its own, and a clock that may be wrong."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from phasm_fdb import Layer, Subspace
from tests.simulation.torture.machine import Everything
from tests.simulation.torture.trouble import Clock

#: The subspaces of the two layers, which share transactions.
SUBSPACES = (("torture", 1), ("torture", 2))

#: What a process may have been told, by its name.
SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "plain": {},
    "cache": {"cache": 20},
    "checked": {"checked": True},
    "verify": {"verify": 1.0},
    "journal": {"journal": True},
    "guard": {"guard": "error"},
}


@dataclass
class Seat:
    """A process.

    Attributes:
        kind: its name in `SETTINGS`.
        layers: its layers, one for each of `SUBSPACES`.
        clock: its wall clock.
    """

    kind: str
    layers: tuple[Layer, ...]
    clock: WallClock


class WallClock:
    """A process's idea of the time: off by so many seconds, and nobody keeps it from jumping.

    Attributes:
        skew: the seconds by which it is ahead of the true time.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.skew = 0.0

    def true(self) -> float:
        """The true time."""
        return self._clock.now

    def __call__(self) -> float:
        return self._clock.now + self.skew


def new_seat(kind: str, clock: Clock, rng: random.Random, lanes: int, ttl_seconds: float) -> Seat:
    """A process of this kind."""
    wall = WallClock(clock)
    layers = tuple(
        Layer(
            Everything(),
            Subspace(subspace),
            lanes=lanes,
            receipt_ttl_seconds=ttl_seconds,
            clock=wall,
            monotonic=clock,
            token_bytes=rng.randbytes,
            **SETTINGS[kind],
        )
        for subspace in SUBSPACES
    )
    return Seat(kind, layers, wall)
