"""A file, by its descriptor."""

from __future__ import annotations

import os

from tests.lint.speaking import Shop


class Planted(Shop):
    def stf(self, state, input, actions):
        state.spent["size"] = os.fstat(0).st_size  # found: file
