"""A database handle that the machine was given."""

from __future__ import annotations

import phasm_fdb
from tests.lint.speaking import Shop


class Planted(Shop):
    def __init__(self):
        self.db = phasm_fdb.open("memory:")

    def stf(self, state, input, actions):
        return self.db.create_transaction()  # found: database
