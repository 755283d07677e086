"""A clock of numpy, and its random numbers."""

from __future__ import annotations

import numpy as np

from tests.lint.speaking import Shop


class Planted(Shop):
    def stf(self, state, input, actions):
        state.spent[str(np.datetime64("now"))] = 1  # found: clock
        state.spent["at"] = int(np.random.default_rng().integers(6))  # found: random
