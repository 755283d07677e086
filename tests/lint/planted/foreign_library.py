"""A clock in C, by a library that was loaded before."""

from __future__ import annotations

import ctypes

from tests.lint.speaking import Shop

LIBRARY = ctypes.CDLL(None)


class Planted(Shop):
    def stf(self, state, input, actions):
        state.spent["at"] = LIBRARY.time(None)  # found: foreign
