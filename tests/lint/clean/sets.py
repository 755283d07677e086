"""Sets whose order nobody sees."""

from __future__ import annotations

from tests.lint.speaking import Shop

KNOWN = frozenset({"ann", "bob"})


class Clean(Shop):
    def stf(self, state, input, actions):
        users = {order.user for order in state.orders.values()}
        for user in sorted(users | KNOWN):
            state.spent[user] = 0
        if input.payload.user in users and any(user.startswith("a") for user in users):
            return len(users), min(users), sorted({"x", "y"}), sum(len(user) for user in users)
        return frozenset(user.upper() for user in users) == KNOWN
