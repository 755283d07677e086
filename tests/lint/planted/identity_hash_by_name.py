"""A hash, by the name of the method."""

from __future__ import annotations

from tests.lint.speaking import Shop


class Planted(Shop):
    def stf(self, state, input, actions):
        state.spent["hash"] = input.payload.user.__hash__()  # found: identity
