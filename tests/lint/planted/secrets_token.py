"""A token from the system's random bytes."""

from __future__ import annotations

import secrets

from tests.lint.speaking import Shop


class Planted(Shop):
    def stf(self, state, input, actions):
        return secrets.token_hex(8)  # found: secrets
