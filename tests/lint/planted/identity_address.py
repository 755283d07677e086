"""Texts with an address in them."""

from __future__ import annotations

from tests.lint.speaking import Shop


class Part:
    """Has no text of its own."""


class Planted(Shop):
    def stf(self, state, input, actions):
        part = Part()
        state.spent[f"{part}"] = 1  # found: identity
        state.spent[str(part)] = 1  # found: identity
        state.spent["%s" % part] = 1  # noqa: UP031  # found: identity
        return object.__repr__(input)  # found: identity
