"""The process, by names that are less known than `os.getpid`."""

from __future__ import annotations

import gc
import posix
import sys
import time

from tests.lint.speaking import Shop


class Planted(Shop):
    def stf(self, state, input, actions):
        state.spent["process"] = posix.getpid()  # found: environment
        state.spent["zone"] = time.timezone  # found: environment
        state.spent["calls"] = sys.getrefcount(input)  # found: identity
        state.spent["objects"] = len(gc.get_objects())  # found: environment
