"""Money in integers, floats elsewhere."""

from __future__ import annotations

from decimal import Decimal

from phasm_fdb import Tracked
from tests.lint.speaking import Ship, Shop

RETRY_SECONDS = 2.5


class Clean(Shop):
    def stf(self, state, input, actions):
        cents = input.payload.cents
        share, rest = divmod(cents, 3)
        tax = cents * 19 // 100
        ratio = len(input.payload.user) / 2
        actions.add(Tracked(state.next_id.take(), Ship(f"{cents / 100:.2f}"), after=RETRY_SECONDS))
        return [share, rest, tax, ratio > 0.5, str(Decimal(cents) * Decimal("1.19"))]
