"""A function that remembers what it has read from the state."""

from __future__ import annotations

from functools import cache

from tests.lint.speaking import Shop


class Planted(Shop):
    def stf(self, state, input, actions):
        return spent(state, input.payload.user)  # found: shared-state


@cache
def spent(state, user):
    return state.spent.get(user, 0)
