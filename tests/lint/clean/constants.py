"""Globals and class attributes that nobody changes once they are there."""

from __future__ import annotations

from tests.lint.speaking import Shop

PRICES = {"tea": 250, "cake": 400}
NAMES = []
for _name in PRICES:
    NAMES.append(_name)


def names_with(extra):
    names = list(NAMES)
    names.append(extra)
    return names


class Clean(Shop):
    limits = [100, 200]

    def __init__(self):
        self.lanes = {"north": 1}

    def stf(self, state, input, actions):
        table = dict(PRICES)
        table["free"] = 0
        mine = []
        mine.append(table)
        return [PRICES["tea"], names_with("x"), self.limits[0], self.lanes["north"], mine]
