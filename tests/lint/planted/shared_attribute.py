"""A counter in the machine instead of in the state."""

from __future__ import annotations

from tests.lint.speaking import Shop


class Planted(Shop):
    def __init__(self):
        self.count = 0

    def stf(self, state, input, actions):
        self.count += 1  # found: shared-state
