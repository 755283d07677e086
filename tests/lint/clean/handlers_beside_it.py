"""What is not reached may do as it likes: handlers live in the same file."""

from __future__ import annotations

import os
import random
import time

from tests.lint.speaking import Shop

CACHE = {}


async def ship(action, attempt):
    CACHE[action.user] = time.time()
    print(os.environ["PROVIDER"], random.random())


class Clean(Shop):
    started = time.time()

    def stf(self, state, input, actions):
        return input.payload.user

    def report(self):
        return self.started, CACHE
