"""Numbers that follow from the request id, or from a seed."""

from __future__ import annotations

import random
import uuid

from phasm_fdb import Normal
from tests.lint.speaking import Order, Shop

NAMESPACE = uuid.UUID(int=7)


class Clean(Shop):
    def stf(self, state, input: Normal[Order], actions):
        generator = input.random()
        seeded = random.Random(input.payload.cents)
        name = uuid.uuid5(NAMESPACE, input.payload.user)
        return [generator.random(), generator.choice([1, 2]), seeded.randint(1, 6), str(name), str(actions.new_id())]
