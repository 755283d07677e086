"""The address of an object, as a sort key."""

from __future__ import annotations

from tests.lint.speaking import Shop


class Planted(Shop):
    def stf(self, state, input, actions):
        return sorted(state.orders.values(), key=id)  # found: identity
