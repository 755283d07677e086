"""The clock, by its module."""

from __future__ import annotations

import time

from tests.lint.speaking import Shop


class Planted(Shop):
    def stf(self, state, input, actions):
        state.spent["at"] = int(time.time())  # found: clock
