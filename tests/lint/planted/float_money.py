"""Money, divided into a float."""

from __future__ import annotations

from tests.lint.speaking import Shop


class Planted(Shop):
    def stf(self, state, input, actions):
        cents = input.payload.cents
        state.spent[input.payload.user] = round(cents / 3)  # found: float
