"""Waiting, to let something else happen first."""

from __future__ import annotations

import time

from tests.lint.speaking import Shop


class Planted(Shop):
    def migrate(self, state, from_version):
        time.sleep(1)  # found: sleep
        return False
