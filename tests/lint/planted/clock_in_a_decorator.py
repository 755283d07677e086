"""The clock, in a decorator of the machine's own function."""

from __future__ import annotations

import functools
import time

from tests.lint.speaking import Shop


def timed(function):
    @functools.wraps(function)
    def wrapper(*args):
        started = time.perf_counter()  # found: clock
        function(*args)
        return started

    return wrapper


class Planted(Shop):
    @timed
    def stf(self, state, input, actions):
        return input.payload.user
