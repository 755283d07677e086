"""Dicts keep the order in which they were filled."""

from __future__ import annotations

from tests.lint.speaking import Shop


class Clean(Shop):
    def stf(self, state, input, actions):
        totals = {}
        for order in state.orders.values():
            totals[order.user] = totals.get(order.user, 0) + order.cents
        first, *rest = list(totals)
        best = max(totals.items(), key=lambda item: item[1])
        return [first, rest, best, ", ".join(totals), dict.fromkeys(totals), totals.popitem()]
