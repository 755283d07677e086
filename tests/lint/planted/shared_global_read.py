"""A setting that another function may change."""

from __future__ import annotations

from tests.lint.speaking import Shop

limit = 100


def set_limit(number):
    global limit
    limit = number


class Planted(Shop):
    def stf(self, state, input, actions):
        return input.payload.cents < limit  # found: shared-state
