"""The clock, by a name in quotes."""

from __future__ import annotations

import time

from tests.lint.speaking import Shop


class Planted(Shop):
    def stf(self, state, input, actions):
        state.spent["at"] = getattr(time, "time")()  # noqa: B009  # found: clock
