"""A random source, imported inside the function."""

from __future__ import annotations

from tests.lint.speaking import Shop


class Planted(Shop):
    def stf(self, state, input, actions):
        import random

        if random.random() < 0.5:  # found: random
            return "won"
        return "lost"
