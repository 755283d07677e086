"""Random bytes from the operating system."""

from __future__ import annotations

from os import urandom

from tests.lint.speaking import Shop


class Planted(Shop):
    async def stf(self, state, input, actions):
        return await self.token()

    async def token(self):
        return urandom(8)  # found: secrets
