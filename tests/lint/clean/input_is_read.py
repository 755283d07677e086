"""An input that is read, and copies and other objects of its type that are changed."""

from __future__ import annotations

from dataclasses import dataclass

from tests.lint.speaking import Order, Shop


@dataclass
class Orders:
    orders: list[Order]


class Clean(Shop):
    Input = Order | Orders

    def stf(self, state, input, actions):
        left = list(input.payload.orders)
        while left:
            order = left.pop()
            state.spent[order.user] = order.cents
        mine = Orders([])
        mine.orders.append(Order("ann", 1))
        return doubled(input.payload, [])


def doubled(payload: Orders, found: list[Order]):
    payload = Orders([*payload.orders, *payload.orders])
    payload.orders.reverse()
    found.extend(payload.orders)
    return len(found)
