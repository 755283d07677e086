"""An id by chance, in a method that only its name leads to."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import uuid1

from phasm_fdb import Map, State
from tests.lint.speaking import Shop


@dataclass(frozen=True)
class Basket:
    user: str

    def ticket(self):
        return str(uuid1())  # found: uuid


class BasketState(State):
    baskets = Map(str, Basket)


class Planted(Shop):
    State = BasketState

    def stf(self, state, input, actions):
        basket = state.baskets["ann"]
        return basket.ticket()
