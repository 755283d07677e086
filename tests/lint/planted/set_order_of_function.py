"""A set that a function gives, made a list; two calls deep."""

from __future__ import annotations

from tests.lint.speaking import Shop


class Planted(Shop):
    def stf(self, state, input, actions):
        return report(state)


def report(state):
    return list(users_of(state))  # found: set-order


def users_of(state) -> set[str]:
    return {order.user for order in state.orders.values()}
