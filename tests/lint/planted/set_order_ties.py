"""Sorted by a key that ties: then the order of the set decides."""

from __future__ import annotations

from tests.lint.speaking import Shop


class Planted(Shop):
    def stf(self, state, input, actions):
        users = set(state.spent) | {"ann"}
        return max(users, key=len)  # found: set-order
