"""An id by chance, in a function that is chosen from a table."""

from __future__ import annotations

from uuid import uuid4

from tests.lint.speaking import Order, Shop


def ordered(state, order):
    return str(uuid4())  # found: uuid


HANDLERS = {Order: ordered}


class Planted(Shop):
    def stf(self, state, input, actions):
        return HANDLERS[type(input.payload)](state, input.payload)
