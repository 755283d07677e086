"""A file, by a path that is a constant."""

from __future__ import annotations

from pathlib import Path

from tests.lint.speaking import Shop

PRICES = Path("prices.txt")


class Planted(Shop):
    def stf(self, state, input, actions):
        return PRICES.read_text()  # found: file
