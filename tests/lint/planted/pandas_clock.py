"""The clocks of pandas."""

from __future__ import annotations

import pandas as pd

from tests.lint.speaking import Shop


class Planted(Shop):
    def stf(self, state, input, actions):
        state.spent[str(pd.Timestamp.now())] = 1  # found: clock
        state.spent[str(pd.Timestamp("now"))] = 1  # found: clock
        state.spent[str(pd.to_datetime("today"))] = 1  # found: clock
        return int(pd.Series([1, 2, 3]).sample(1).iloc[0])  # found: random
