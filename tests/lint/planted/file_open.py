"""A file, opened."""

from __future__ import annotations

from tests.lint.speaking import Shop


class Planted(Shop):
    def check_invariants(self, state):
        with open("limits.txt") as file:  # noqa: PTH123 # found: file
            assert len(list(state.orders)) < int(file.read())
