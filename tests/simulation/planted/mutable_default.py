"""Its state has a list as a default, which it appends to: the default of everybody, from then on."""

import random
from collections.abc import Iterator
from typing import Any

from phasm_fdb import Actions, Normal, Value
from tests.simulation.theatre import Reserve, Theatre, TheatreState, TheatreWorkload

EXPECTED = "serializable and deterministic"


class ListState(TheatreState):
    users = Value(list[str], [])


class Appends(Theatre):
    State = ListState

    def reserve(self, state: Any, input: Normal[Any], wish: Reserve, actions: Actions) -> int:
        users = state.users.get()
        users.append(wish.user)
        number = super().reserve(state, input, wish, actions)
        state.users.set(users[-3:])
        return number


class Planted(TheatreWorkload):
    machine = Appends

    def setup(self, rng: random.Random) -> Iterator[Any]:
        ListState.users.default.clear()  # as in a new process
        return super().setup(rng)
