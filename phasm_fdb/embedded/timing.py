"""Time as the engine uses it: read a clock, sleep, be called later. All of it can be injected."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from phasm_fdb.embedded.future import Future
from phasm_fdb.errors import FDBError

CallLater = Callable[[float, Callable[[], None]], None]
"""`call_later(seconds, callback)`: call `callback` once, when that many seconds have passed, from any
thread.
"""


def call_in_thread(seconds: float, callback: Callable[[], None]) -> None:
    """The default `CallLater`: a daemon thread that waits."""
    timer = threading.Timer(max(0.0, seconds), callback)
    timer.daemon = True
    timer.start()


class Time:
    """A clock, a sleep and a timer that agree with each other.

    Args:
        clock: seconds, never going back.
        sleep: blocks the calling thread until the clock has moved on by so many seconds.
        call_later: see `CallLater`.

    Attributes:
        is_real: whether it passes by itself, also while every thread of the program blocks.
    """

    __slots__ = ("call_later", "clock", "is_real", "sleep")

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        call_later: CallLater = call_in_thread,
    ) -> None:
        self.is_real = sleep is time.sleep
        self.clock = clock
        self.sleep = sleep
        self.call_later = call_later


FUTURE_VERSION_SECONDS = 1.0
"""How long a read waits for a version that has not happened yet (FUTURE_VERSION_DELAY of FoundationDB's storage)."""


class Delay(Future[None]):
    """A future that is ready after a delay, with nothing or with an error.

    Whoever blocks on it sleeps; a timer runs only when somebody asks to be called.
    """

    __slots__ = ("_due", "_outcome", "_time", "_timed")

    def __init__(self, time: Time, seconds: float, outcome: FDBError | None = None) -> None:
        super().__init__(pending=True)
        self._time = time
        self._due = time.clock() + seconds
        self._outcome = outcome
        self._timed = False
        if seconds <= 0:
            self._expire()

    def is_ready(self) -> bool:
        if self._waiting is not None and self._time.clock() >= self._due:
            self._expire()
        return self._waiting is None

    def on_ready(self, callback: Callable[[Future[None]], None], /) -> None:
        super().on_ready(callback)
        if self._waiting is not None and not self._timed:
            self._timed = True
            self._time.call_later(self._due - self._time.clock(), self._expire)

    def _before_blocking(self) -> None:
        remaining = self._due - self._time.clock()
        if remaining > 0:
            self._time.sleep(remaining)
        self._expire()

    def _expire(self) -> None:
        self.settle(error=self._outcome)


class LateRead(Delay):
    """A read at a version that has not happened yet: made when the version has had its time to happen.

    Args:
        read: makes it; raises what the read fails with.
    """

    __slots__ = ("_read",)

    def __init__(self, time: Time, read: Callable[[], Any]) -> None:
        self._read = read
        super().__init__(time, FUTURE_VERSION_SECONDS)

    def _expire(self) -> None:
        try:
            result = self._read()
        except FDBError as error:
            self.settle(error=error)
        else:
            self.settle(result)
