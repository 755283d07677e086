"""The clock under another name, two calls away and in another module."""

from __future__ import annotations

from tests.lint.planted import deep_helpers
from tests.lint.speaking import Shop


class Planted(Shop):
    def stf(self, state, input, actions):
        return deep_helpers.stamp(input)
