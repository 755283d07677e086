"""The tasks that apply the inputs of held lanes: one a lane, several lanes at once."""

from __future__ import annotations

import asyncio
import functools
import logging

from phasm_fdb.database.transactional import error_code
from phasm_fdb.errors import StaleLease
from phasm_fdb.inbox import Queued
from phasm_fdb.runtime.applying import Batch, apply_batch, bury_first
from phasm_fdb.runtime.batching import BatchSize
from phasm_fdb.runtime.causes import cause_of
from phasm_fdb.runtime.lane import Lane
from phasm_fdb.runtime.lanes import Lanes
from phasm_fdb.runtime.settler import TOO_LARGE
from phasm_fdb.runtime.untracked import UntrackedQueue
from phasm_fdb.runtime.worker_context import WorkerContext

logger = logging.getLogger("phasm_fdb.worker")

LARGEST_BATCH = 1_000
LANES_AT_ONCE = 8


class Applier:
    """Applies inputs, in batches whose size follows the backlog and the conflicts of each lane."""

    def __init__(self, worker: WorkerContext, lanes: Lanes, untracked: UntrackedQueue) -> None:
        self._worker = worker
        self._transact = worker.transact
        self._telemetry = worker.telemetry
        self._lanes = lanes
        self._untracked = untracked
        self._turns = asyncio.Semaphore(LANES_AT_ONCE)

    def begin(self, lane: Lane) -> None:
        """Apply the inputs of a lane until there are none left."""
        lane.has_inputs = False
        work = functools.partial(self._apply, lane)
        lane.applying = self._worker.supervisor.keep(f"applying the inputs of lane {lane.lease.lane}", work)
        lane.applying.add_done_callback(functools.partial(self._ended, lane))

    def _ended(self, lane: Lane, _task: asyncio.Task[None]) -> None:
        lane.applying = None
        self._lanes.tell()

    async def _apply(self, lane: Lane) -> None:
        try:
            async with self._turns:
                await self._apply_all(lane)
        except StaleLease:
            if self._lanes.of(lane.lease) is lane:
                self._lanes.lost(lane.lease.lane)

    async def _apply_all(self, lane: Lane) -> None:
        size = BatchSize(LARGEST_BATCH)
        left: set[bytes] = set()  # for now: the state that they need may be another one the next time
        while lane.is_working:
            try:
                with self._telemetry.span("phasm.inputs", lane=lane.lease.lane, size=size.now):
                    batch, attempts = await self._transact.counted(
                        apply_batch, self._worker.capabilities, lane.lease, size.now, left
                    )
            except Exception as error:
                if error_code(error) not in TOO_LARGE:
                    raise
                await self._too_large(lane, size, error)
                continue
            size.went_through(batch.taken, attempts)
            self._after(lane, batch)
            left |= batch.left
            if not batch.more:
                return

    async def _too_large(self, lane: Lane, size: BatchSize, error: Exception) -> None:
        """Make smaller batches; an input that is too large by itself is given up."""
        if not size.failed():
            await self._transact(bury_first, self._worker.capabilities, lane.lease, cause_of(error))
            self._telemetry.count("dead_letters")

    def _after(self, lane: Lane, batch: Batch) -> None:
        self._telemetry.count("transitions", batch.applied)
        self._telemetry.count("rejections", batch.rejected)
        self._telemetry.count("dead_letters", batch.buried)
        for damaged in batch.damaged.values():
            logger.error("a row goes to the dead letters: %s", damaged, extra={"lane": lane.lease.lane})
        for queued, error, is_tried_again in batch.failed:
            self._say_machine_failed(lane, queued, error, is_tried_again)
        lane.unknown_inputs |= batch.unknown
        self._untracked.offer(batch.untracked)

    def _say_machine_failed(self, lane: Lane, queued: Queued, error: Exception, is_tried_again: bool) -> None:
        """The first and the last time with the traceback, since it is a bug that somebody has to mend."""
        with_traceback = queued.failures == 0 or not is_tried_again
        tag = queued.tag
        logger.log(
            logging.ERROR if with_traceback else logging.WARNING,
            "%s failed on the input %s %r for the %d. time, and it %s: %s",
            *(self._worker.layer.definition.name, tag, queued.request_id, queued.failures + 1),
            *("is tried again later" if is_tried_again else "was moved to the dead letters", cause_of(error)),
            extra={"lane": lane.lease.lane, "input": tag, "id": queued.request_id},
            exc_info=error if with_traceback else None,
        )
