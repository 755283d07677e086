"""An input that is taken apart: another attempt at the transition would find it empty."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.lint.speaking import Order, Shop


@dataclass
class Orders:
    orders: list[Order]


class Planted(Shop):
    Input = Order | Orders

    def stf(self, state, input, actions):
        while input.payload.orders:
            order = input.payload.orders.pop()  # found: shared-state
            state.spent[order.user] = order.cents
        drop_small(input.payload)


def drop_small(payload: Orders, least: Any = 10):
    for number, order in enumerate(payload.orders):
        if order.cents < least:
            del payload.orders[number]  # found: shared-state
