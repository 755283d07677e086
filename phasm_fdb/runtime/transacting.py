"""Running transactions for a worker: retried, off the event loop's back, and counted."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from typing import Any, TypeVar

from phasm_fdb.database import aio
from phasm_fdb.database.transactional import Attempts, run
from phasm_fdb.runtime.telemetry import Telemetry

T = TypeVar("T")

logger = logging.getLogger("phasm_fdb.worker")

#: A transaction that is retried so often is worth a line in the log, and so is each doubling of that.
WORTH_SAYING = 10


class Transactor:
    """`await transact(body, *args)` runs `body(*args, tr)` in a transaction of its own until it commits."""

    def __init__(self, db: Any, telemetry: Telemetry) -> None:
        self.db = db
        self._telemetry = telemetry

    async def __call__(self, body: Callable[..., T], *args: Any) -> T:
        return (await self.counted(body, *args))[0]

    async def counted(self, body: Callable[..., T], *args: Any) -> tuple[T, int]:
        """The same, and how many attempts it took."""
        attempts = _Said(getattr(body, "__name__", repr(body)))
        try:
            return await aio.run(run, self.db, functools.partial(body, *args), attempts), attempts.number
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
