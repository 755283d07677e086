"""Where some of the planted machines go wrong, two calls away from them."""

from __future__ import annotations

import os
from random import choice as pick
from time import monotonic as now


def stamp(input):
    return {"input": input, "at": _tick()}


def _tick():
    return now()  # found: clock_two_calls_deep clock


def lucky(users):
    return [_one_of(users)]


def _one_of(users):
    return pick(users)  # found: random_two_calls_deep random


class Settings:
    @property
    def region(self):
        return self._read("REGION")

    def _read(self, name):
        return os.environ.get(name)  # found: environment_in_a_property environment
