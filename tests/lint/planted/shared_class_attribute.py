"""A class attribute that a transition changes."""

from __future__ import annotations

from tests.lint.speaking import Shop


class Planted(Shop):
    seen: list[str] = []

    def stf(self, state, input, actions):
        self.seen.append(input.payload.user)  # found: shared-state
