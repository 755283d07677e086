"""The clock, by a class that is written in C."""

from __future__ import annotations

from datetime import datetime

from tests.lint.speaking import Shop


class Planted(Shop):
    def stf(self, state, input, actions):
        state.spent["year"] = datetime.now().year  # found: clock
