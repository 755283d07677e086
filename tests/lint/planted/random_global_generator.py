"""A seeded generator that all transitions of a process share."""

from __future__ import annotations

import random

from tests.lint.speaking import Shop

DICE = random.Random(6)


class Planted(Shop):
    def stf(self, state, input, actions):
        return DICE.randrange(6)  # found: random
