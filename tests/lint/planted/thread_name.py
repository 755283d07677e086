"""The names of a process and of a thread."""

from __future__ import annotations

import multiprocessing
import threading

from tests.lint.speaking import Shop


class Planted(Shop):
    def stf(self, state, input, actions):
        state.spent[multiprocessing.current_process().name] = 1  # found: environment
        state.spent[threading.current_thread().name] = 1  # found: environment
