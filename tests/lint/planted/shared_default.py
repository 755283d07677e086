"""A default that all calls share."""

from __future__ import annotations

from tests.lint.speaking import Shop


class Planted(Shop):
    def stf(self, state, input, actions):
        return remember(input.payload.user)


def remember(user, users=[]):  # noqa: B006 - this is the fault
    users.append(user)  # found: shared-state
    return len(users)
