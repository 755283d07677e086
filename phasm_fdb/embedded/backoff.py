"""How long `on_error` waits before the next attempt, and which errors it retries at all."""

from __future__ import annotations

from collections.abc import Callable

FIRST_DELAY = 0.01
GROWTH = 2.0
LONGEST_DELAY = 1.0
LONGEST_WHEN_SHORT_OF_MEMORY = 30.0
VERSION_DELAY = 0.01

# fdbclient/NativeAPI, Transaction::onError.
_TOO_OLD_OR_FUTURE = frozenset((1007, 1009))
_SHORT_OF_MEMORY = frozenset((1042, 1078))
RETRIED = frozenset((1020, 1021, 1037, 1038, 1051, 1079, 1213, 1223)) | _TOO_OLD_OR_FUTURE | _SHORT_OF_MEMORY


class Backoff:
    """The growing delay of one transaction.

    Args:
        random: a number from 0 up to 1, at random.
    """

    __slots__ = ("_next", "_random")

    def __init__(self, random: Callable[[], float]) -> None:
        self._random = random
        self._next = FIRST_DELAY

    def delay(self, code: int, longest: float) -> float:
        """Seconds to wait after the error `code`; `longest` is the transaction's `max_retry_delay`, in
        seconds.
        """
        if code in _TOO_OLD_OR_FUTURE:
            return min(VERSION_DELAY, longest)
        seconds = self._next * self._random()
        bound = LONGEST_WHEN_SHORT_OF_MEMORY if code in _SHORT_OF_MEMORY else longest
        self._next = min(self._next * GROWTH, bound)
        return seconds
