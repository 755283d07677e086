"""A thread."""

from __future__ import annotations

from threading import Thread

from tests.lint.speaking import Shop


class Planted(Shop):
    def stf(self, state, input, actions):
        Thread(target=self.audit).start()  # found: thread

    def audit(self):
        pass
