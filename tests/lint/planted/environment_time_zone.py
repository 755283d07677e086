"""The time zone of the machine that it runs on."""

from __future__ import annotations

from datetime import datetime

from tests.lint.speaking import Shop


class Planted(Shop):
    def stf(self, state, input, actions):
        return datetime.fromtimestamp(input.at / 1000).hour  # found: environment
