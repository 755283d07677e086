"""A database handle besides the state."""

from __future__ import annotations

import phasm_fdb
from tests.lint.speaking import Shop

db = phasm_fdb.open("memory:")


class Planted(Shop):
    def stf(self, state, input, actions):
        return db[b"rate"]  # found: database
