"""The environment, behind a property and a method of an object that is made here."""

from __future__ import annotations

from tests.lint.planted.deep_helpers import Settings
from tests.lint.speaking import Shop


class Planted(Shop):
    def stf(self, state, input, actions):
        settings = Settings()
        return settings.region
