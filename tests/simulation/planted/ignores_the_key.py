"""A bank that is asked without an idempotency key: every call charges the card."""

import random
from typing import Any

from tests.simulation.theatre import Charge, TheatreWorkload

EXPECTED = "the bank agrees"


class Planted(TheatreWorkload):
    def perform(self, rng: random.Random, action: Any, attempt: Any) -> Any:
        if not isinstance(action, Charge):
            return super().perform(rng, action, attempt)
        key = f"charge {action.booking}"
        self.bank.done.pop(key, None)
        return self.bank.charge(key, action.booking, action.cents)
