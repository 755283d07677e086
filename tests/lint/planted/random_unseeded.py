"""A generator of its own, with a seed from the system."""

from __future__ import annotations

from random import Random

from tests.lint.speaking import Shop


class Planted(Shop):
    def stf(self, state, input, actions):
        generator = Random()  # found: random
        return generator.random()
