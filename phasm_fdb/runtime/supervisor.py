"""The background work of a worker: begun again after an error of the database, and ended all together.

Whatever a worker does with the database it does under a `Supervisor`: so an outage is waited for in one place, and the
work itself needs no `try`. What is supervised may be begun again at any point, so it keeps what it has to do outside of
itself: in the lanes, in a queue, in the database.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from phasm_fdb.database.transactional import error_code
from phasm_fdb.errors import CodecError

T = TypeVar("T")

logger = logging.getLogger("phasm_fdb.worker")

#: The longest pause before the first new try; each one in a row may be twice as long.
FIRST_PAUSE_SECONDS = 0.1


class Supervisor:
    """Runs the tasks of one worker.

    Args:
        name: of the worker, for the log.
        chance: the source of jitter: a pause is random between half and all of its bound.
        longest_pause: seconds between two tries at most.

    Attributes:
        failure: the first error that no new try can mend: a bug, or a keyspace that is not this worker's. None while
            there is none.
    """

    def __init__(self, name: str, chance: random.Random, longest_pause: float) -> None:
        self._name = name
        self._chance = chance
        self._longest_pause = longest_pause
        self._tasks: dict[asyncio.Task[Any], None] = {}  # in their order, so that a simulated run repeats itself
        self._failed = asyncio.Event()
        self.failure: BaseException | None = None

    def spawn(self, coroutine: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        """Run a coroutine that does nothing with the database, such as a handler's call, in the background."""
        task = asyncio.get_running_loop().create_task(coroutine, name=name)
        self._tasks[task] = None
        task.add_done_callback(self._ended)
        return task

    def keep(self, what: str, work: Callable[[], Awaitable[Any]]) -> asyncio.Task[Any]:
        """Do some work in the background until it is done, as `until_done` does it.

        Args:
            what: names the work, for the log.
        """
        return self.spawn(self.until_done(what, work), f"{self._name}: {what}")

    async def until_done(self, what: str, work: Callable[[], Awaitable[T]]) -> T:
        """Do some work, again and again while the database fails: after a pause, and never silently.

        A row that does not decode, where nobody expects that, is treated the same: other work goes on. The pause grows
        with each failure in a row. Raises whatever else the work raises.
        """
        loop = asyncio.get_running_loop()
        failures = 0
        while True:
            begun = loop.time()
            try:
                return await work()
            except Exception as error:
                if error_code(error) is None and not isinstance(error, CodecError):
                    raise
                if loop.time() - begun > self._longest_pause:
                    failures = 0  # it went well for a while, or the database took its time to fail
                pause = self._pause(failures)
                failures += 1
                logger.log(
                    logging.ERROR if isinstance(error, CodecError) else logging.WARNING,
                    "%s: %s failed, trying again in %.2f s: %r",
                    *(self._name, what, pause, error),
                    extra={"worker": self._name, "work": what, "code": error_code(error)},
                )
            await asyncio.sleep(pause)

    def _pause(self, failures: int) -> float:
        bound = min(self._longest_pause, FIRST_PAUSE_SECONDS * 2 ** min(failures, 60))
        return self._chance.uniform(bound / 2, bound)

    async def wait(self, event: asyncio.Event) -> None:
        """Return when `event` is set; raise what a task has failed with, if that comes first."""
        loop = asyncio.get_running_loop()
        waits = [loop.create_task(event.wait()), loop.create_task(self._failed.wait())]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in waits:
                one.cancel()
        if self.failure is not None:
            raise self.failure

    async def cancel(self) -> None:
        """Cancel all tasks, and return when they have ended."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.pop(task, None)
        error = None if task.cancelled() else task.exception()
        if error is not None and self.failure is None:
            self.failure = error
            self._failed.set()
