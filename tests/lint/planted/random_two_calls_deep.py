"""A random source, reached through a list comprehension and two functions."""

from __future__ import annotations

from tests.lint.planted.deep_helpers import lucky
from tests.lint.speaking import Shop


class Planted(Shop):
    def restore(self, state, actions):
        return [lucky(users) for users in (list(state.spent),)]
