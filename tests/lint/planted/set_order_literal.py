"""A set, gone through."""

from __future__ import annotations

from phasm_fdb import Tracked
from tests.lint.speaking import Ship, Shop


class Planted(Shop):
    def stf(self, state, input, actions):
        winners = {input.payload.user, "bob"}
        for user in winners:  # found: set-order
            actions.add(Tracked(state.next_id.take(), Ship(user)))
