"""A clock that moves only when it is told to, and databases that live by it."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import count
from typing import Any

from phasm_fdb.embedded import Database, open_memory


class VirtualTime:
    """Seconds that pass by `advance`, or by sleeping, which takes no real time."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = count()

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.advance(seconds)

    def call_later(self, seconds: float, callback: Callable[[], None]) -> None:
        heapq.heappush(self._timers, (self.now + seconds, next(self._numbers), callback))

    def advance(self, seconds: float) -> None:
        """Let time pass, and call the timers that are due, each at its time."""
        until = self.now + seconds
        while self._timers and self._timers[0][0] <= until:
            self.now, _, callback = heapq.heappop(self._timers)
            callback()
        self.now = until

    def open_memory(self, random: Callable[[], float] = lambda: 0.5) -> Database:
        """A memory database that lives by this time."""
        return open_memory(clock=self.clock, sleep=self.sleep, random=random, call_later=self.call_later)


def code_of(action: Callable[[], Any]) -> int:
    """The FoundationDB code that the action fails with; 0 when it does not fail."""
    from phasm_fdb.errors import FDBError

    try:
        action()
    except FDBError as error:
        return error.code
    return 0
