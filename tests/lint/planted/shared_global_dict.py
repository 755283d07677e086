"""A cache that all transitions of a process share."""

from __future__ import annotations

from tests.lint.speaking import Shop

SEEN = {}


class Planted(Shop):
    def stf(self, state, input, actions):
        cache = SEEN
        cache[input.payload.user] = input.payload.cents  # found: shared-state
