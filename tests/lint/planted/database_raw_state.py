"""The transaction of the state, without its fields."""

from __future__ import annotations

from tests.lint.speaking import Shop


class Planted(Shop):
    def check_changes(self, state, changes):
        rows = state.space.staged.rows(b"", b"\xff")  # found: database
        assert rows
