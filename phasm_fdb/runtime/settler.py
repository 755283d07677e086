"""The task that settles attempts, as many at once as there are."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from phasm_fdb.database.transactional import error_code
from phasm_fdb.error_codes import KEY_TOO_LARGE, TRANSACTION_TOO_LARGE, VALUE_TOO_LARGE
from phasm_fdb.runtime.batching import BatchSize
from phasm_fdb.runtime.causes import ResultTooLarge, cause_of
from phasm_fdb.runtime.ending import Ending, Settled, Verdict
from phasm_fdb.runtime.lanes import Lanes
from phasm_fdb.runtime.retry import Retry
from phasm_fdb.runtime.settling import settle
from phasm_fdb.runtime.untracked import UntrackedQueue
from phasm_fdb.runtime.work import Work
from phasm_fdb.runtime.worker_context import WorkerContext

logger = logging.getLogger("phasm_fdb.worker")

LARGEST_BATCH = 256

#: The same writes never fit.
TOO_LARGE = frozenset({TRANSACTION_TOO_LARGE, KEY_TOO_LARGE, VALUE_TOO_LARGE})

GIVE_UP = Retry(final=(Exception,))


class Settler:
    """Takes the endings of attempts and records them, in the order they came.

    Args:
        unblocked: called with the type of a limited action that has ended.
    """

    def __init__(
        self,
        worker: WorkerContext,
        lanes: Lanes,
        untracked: UntrackedQueue,
        unblocked: Callable[[str], None],
    ) -> None:
        self._worker = worker
        self._lanes = lanes
        self._untracked = untracked
        self._unblocked = unblocked
        self._queue: deque[Ending] = deque()
        self._filled = asyncio.Event()
        self._size = BatchSize(LARGEST_BATCH)

    @property
    def backlog(self) -> int:
        """How many endings wait."""
        return len(self._queue)

    def put(self, ending: Ending) -> None:
        """Take the ending of an attempt."""
        self._queue.append(ending)
        self._filled.set()

    async def run(self) -> None:
        """Settle what comes, until cancelled; begun again, it goes on with what it could not settle."""
        while True:
            self._filled.clear()
            if not self._queue:
                await self._filled.wait()
            batch = list(itertools.islice(self._queue, self._size.now))
            try:
                settled, attempts = await self._worker.transact.counted(settle, batch)
            except Exception as error:
                if error_code(error) not in TOO_LARGE:
                    raise
                self._too_large(batch, error)
                continue
            for _ in batch:
                self._queue.popleft()
            self._size.went_through(len(batch), attempts)
            for ending, one in zip(batch, settled, strict=True):
                self._after(ending, one)
            self._lanes.tell()

    def _too_large(self, batch: list[Ending], error: Exception) -> None:
        """Make smaller batches from now on; the result of one that is too large by itself is kept.

        If even that is too large, or there is no result, the action is given up.
        """
        self._size.failed()
        if len(batch) > 1:
            return
        ending, too_large = batch[0], ResultTooLarge(str(error))
        if ending.too_large is None:
            self._queue[0] = replace(ending, too_large=too_large)
        else:
            self._queue[0] = replace(ending, retry=GIVE_UP, result=None, error=too_large)

    def _after(self, ending: Ending, settled: Settled) -> None:
        """Let what was settled take effect in memory."""
        work, verdict = ending.work, settled.verdict
        self._count(ending, settled)
        if settled.applied is not None:
            self._untracked.offer(settled.applied.untracked)
        if work.slot is not None:
            work.slot = None
            self._unblocked(work.tag)
        lane = self._lanes.of(work.lease)
        if lane is None:
            return
        if verdict is Verdict.STALE:
            self._lanes.lost(work.lane)
            return
        lane.running.pop(work, None)
        if verdict is Verdict.LEFT:
            lane.window.leave(work)
        elif settled.in_place is not None:
            work.progress = settled.in_place
            lane.window.retry(work)
        else:
            lane.window.done(work)

    def _count(self, ending: Ending, settled: Settled) -> None:
        count, verdict = self._worker.telemetry.count, settled.verdict
        if verdict is Verdict.COMPLETED:
            count("transitions")
            count("actions.completed")
        elif verdict is Verdict.RETRIED:
            count("actions.retried")
        elif verdict is Verdict.KEPT:
            count("results.kept")
        elif verdict is Verdict.BURIED:
            count("dead_letters")
        elif verdict is not Verdict.LEFT:
            count("actions.stale")
        if settled.error is not None:
            self._say_machine_failed(ending.work, settled.error, verdict)
        elif (error := ending.error or settled.refusal) is not None:
            logger.log(
                logging.ERROR if verdict is Verdict.BURIED else logging.WARNING,
                "attempt %d at %s %r failed, and %s: %s",
                *(ending.work.progress.attempts, ending.work.tag, ending.work.id, verdict.value, cause_of(error)),
                extra=_fields(ending.work, verdict),
            )

    def _say_machine_failed(self, work: Work, error: BaseException, verdict: Verdict) -> None:
        """The first time with the traceback, since it is a bug that somebody has to mend."""
        is_first = work.progress.failures == 0
        logger.log(
            logging.ERROR if is_first or verdict is Verdict.BURIED else logging.WARNING,
            "%s failed on the result of %s %r for the %d. time, and %s: %s",
            *(self._worker.layer.definition.name, work.tag, work.id, work.progress.failures + 1, verdict.value),
            cause_of(error),
            extra=_fields(work, verdict),
            exc_info=error if is_first or verdict is Verdict.BURIED else None,
        )


def _fields(work: Work, verdict: Verdict) -> dict[str, Any]:
    return {"lane": work.lane, "action": work.tag, "id": work.id, "verdict": verdict.name}
