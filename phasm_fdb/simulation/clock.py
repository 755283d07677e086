"""Virtual time: it passes when somebody says so, and sleeping costs nothing."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable

#: Where a run begins, in seconds since the epoch: 1 January 2024.
BEGINNING = 1_704_067_200.0


class VirtualClock:
    """A clock, a sleep and timers, as the memory engine takes them."""

    def __init__(self, beginning: float = BEGINNING) -> None:
        self._now = beginning
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()

    def now(self) -> float:
        """The time in seconds."""
        return self._now

    def now_ms(self) -> int:
        """The time in whole milliseconds."""
        return int(self._now * 1000)

    def sleep(self, seconds: float) -> None:
        """Let time pass, and call back whoever is due."""
        end = self._now + max(0.0, seconds)
        while self._timers and self._timers[0][0] <= end:
            due, _, callback = heapq.heappop(self._timers)
            self._now = max(self._now, due)
            callback()
        self._now = end

    def call_later(self, seconds: float, callback: Callable[[], None]) -> None:
        """Have `callback` called when so many seconds have passed."""
        heapq.heappush(self._timers, (self._now + max(0.0, seconds), next(self._numbers), callback))
