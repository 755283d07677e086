"""Chance, in a function that is chosen by the type of its argument."""

from __future__ import annotations

import random
from functools import singledispatch

from tests.lint.speaking import Order, Shop


@singledispatch
def handle(payload):
    return None


@handle.register
def _(payload: Order):
    return random.randint(1, 6)  # found: random


class Planted(Shop):
    def stf(self, state, input, actions):
        return handle(input.payload)
