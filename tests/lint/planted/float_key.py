"""Floats as the keys of a Map."""

from __future__ import annotations

from phasm_fdb import Map, State
from tests.lint.speaking import Shop


class RateState(State):
    by_rate = Map(tuple[str, float], str)  # found: float


class Planted(Shop):
    State = RateState
