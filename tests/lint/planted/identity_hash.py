"""The hash of a string, which each process salts."""

from __future__ import annotations

from tests.lint.speaking import Shop


class Planted(Shop):
    def stf(self, state, input, actions):
        return hash(input.payload.user) % 4  # found: identity
