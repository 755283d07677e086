"""A call over the network."""

from __future__ import annotations

from urllib.request import urlopen

from tests.lint.speaking import Shop


class Planted(Shop):
    def stf(self, state, input, actions):
        return urlopen("https://example.org/rate").read()  # found: socket
