"""A process."""

from __future__ import annotations

import subprocess

from tests.lint.speaking import Shop


class Planted(Shop):
    def stf(self, state, input, actions):
        subprocess.run(["ship", input.payload.user], check=True)  # found: subprocess
