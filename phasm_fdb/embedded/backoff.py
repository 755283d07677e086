"""How long `on_error` waits before the next attempt, and which errors it retries at all."""

from __future__ import annotations

from collections.abc import Callable

from phasm_fdb import error_codes

FIRST_DELAY = 0.01
GROWTH = 2.0
LONGEST_DELAY = 1.0
LONGEST_WHEN_SHORT_OF_MEMORY = 30.0
VERSION_DELAY = 0.01

# fdbclient/NativeAPI, Transaction::onError: not the same as the predicate `retryable`.
_TOO_OLD_OR_FUTURE = frozenset((error_codes.TRANSACTION_TOO_OLD, error_codes.FUTURE_VERSION))
_SHORT_OF_MEMORY = frozenset(
    (error_codes.COMMIT_PROXY_MEMORY_LIMIT_EXCEEDED, error_codes.GRV_PROXY_MEMORY_LIMIT_EXCEEDED)
)
RETRIED = (error_codes.RETRYABLE | {error_codes.BLOB_GRANULE_REQUEST_FAILED}) - {error_codes.CLUSTER_VERSION_CHANGED}


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
