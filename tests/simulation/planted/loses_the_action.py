"""Empties the container of actions after it has filled it: the charge is never made."""

from typing import Any

from phasm_fdb import Actions, Normal
from tests.simulation.theatre import Reserve, Theatre, TheatreState, TheatreWorkload

EXPECTED = "restore names what is pending"


class Loses(Theatre):
    def reserve(self, state: TheatreState, input: Normal[Any], wish: Reserve, actions: Actions) -> int:
        number = super().reserve(state, input, wish, actions)
        actions.clear()
        return number


class Planted(TheatreWorkload):
    machine = Loses
