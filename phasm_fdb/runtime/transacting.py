"""Running transactions for a worker: retried, off the event loop's back, and counted."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, TypeVar

from phasm_fdb.database import aio
from phasm_fdb.database.transactional import Attempts, run
from phasm_fdb.runtime.telemetry import Telemetry
from phasm_fdb.runtime.worker_transaction import WorkerTransaction
from phasm_fdb.transition.context import LayerContext

T = TypeVar("T")

logger = logging.getLogger("phasm_fdb.worker")

#: A transaction that is retried so often is worth a line in the log, and so is each doubling of that.
WORTH_SAYING = 10


class Transactor:
    """`await transact(body, *args)` runs `body(at, *args)` in a transaction of its own until it commits.

    `at` is a `WorkerTransaction`, made anew for each attempt; the time that it goes by is that of the call, or `now`
    (seconds since the epoch).

    Args:
        clock: the time in seconds since the epoch.
    """

    def __init__(self, db: Any, context: LayerContext, clock: Callable[[], float], telemetry: Telemetry) -> None:
        self.db = db
        self._context = context
        self._clock = clock
        self._telemetry = telemetry

    async def __call__(self, body: Callable[..., T], *args: Any, now: float | None = None) -> T:
        return (await self.counted(body, *args, now=now))[0]

    async def counted(self, body: Callable[..., T], *args: Any, now: float | None = None) -> tuple[T, int]:
        """The same, and how many attempts it took."""
        time = self._clock() if now is None else now

        def attempt(tr: Any) -> T:
            return body(WorkerTransaction(self._context, tr, time), *args)

        attempts = _Said(getattr(body, "__name__", repr(body)))
        try:
            return await aio.run(run, self.db, attempt, attempts), attempts.number
        finally:
            self._telemetry.count("conflicts", attempts.number - 1)

    async def call(self, function: Callable[..., T], *args: Any) -> T:
        """Run `function(*args, db)`, which makes transactions of its own."""
        return await aio.run(function, *args, self.db)


class _Said(Attempts):
    """Attempts at a transaction that says in the log when it needs very many.

    Args:
        what: names the transaction.
    """

    def __init__(self, what: str) -> None:
        super().__init__()
        self._what = what
        self._next = WORTH_SAYING

    def failed(self, error: BaseException) -> int | None:
        if self.number == self._next:
            self._next *= 2
            logger.warning("%s has failed %d times, and is tried again: %r", self._what, self.number, error)
        return super().failed(error)
