"""The language of the process, in formats of times and numbers."""

from __future__ import annotations

import calendar
from datetime import UTC, datetime

from tests.lint.speaking import Shop


class Planted(Shop):
    def stf(self, state, input, actions):
        at = datetime.fromtimestamp(input.at / 1000, UTC)
        state.spent[at.strftime("%A")] = 1  # found: environment
        state.spent[f"{at:%c}"] = 1  # found: environment
        state.spent[f"{input.at:n}"] = 1  # found: environment
        state.spent[calendar.month_name[1]] = 1  # found: environment
