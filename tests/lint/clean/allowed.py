"""Findings that are meant, and say so in their line."""

from __future__ import annotations

import os
import time

from tests.lint.speaking import Shop


class Clean(Shop):
    def stf(self, state, input, actions):
        print("shipping")  # phasm: allow output
        return [time.time(), os.getpid()]  # phasm: allow clock, environment
