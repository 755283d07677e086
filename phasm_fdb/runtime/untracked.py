"""Untracked actions: handed to their handlers after the commit, best effort, in a bounded queue."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from typing import Any

from phasm_fdb.actions import Untracked
from phasm_fdb.runtime.calling import Caller
from phasm_fdb.runtime.handlers import Handlers
from phasm_fdb.runtime.telemetry import Telemetry

logger = logging.getLogger("phasm_fdb.worker")


class UntrackedQueue:
    """Runs untracked actions that nobody waits for.

    Args:
        room: how many may wait; those that find the queue full are dropped and counted.
        concurrency: how many run at once.
    """

    def __init__(self, handlers: Handlers, caller: Caller, telemetry: Telemetry, room: int, concurrency: int) -> None:
        self._handlers = handlers
        self._caller = caller
        self._telemetry = telemetry
        self._concurrency = concurrency
        self._queue: asyncio.Queue[Any] = asyncio.Queue(room)

    def offer(self, actions: Iterable[Untracked[Any]]) -> None:
        """Take actions that were committed; returns at once."""
        for untracked in actions:
            if self._handlers.of(untracked.action) is None:
                continue
            try:
                self._queue.put_nowait(untracked.action)
            except asyncio.QueueFull:
                self._telemetry.count("untracked.dropped")

    async def run(self) -> None:
        """Run what comes, until cancelled."""
        tasks = [asyncio.get_running_loop().create_task(self._run_one_by_one()) for _ in range(self._concurrency)]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()

    async def drain(self) -> None:
        """Return when everything that was taken has been run."""
        await self._queue.join()

    async def _run_one_by_one(self) -> None:
        while True:
            action = await self._queue.get()
            try:
                handler = self._handlers.of(action)
                assert handler is not None
                await self._caller.call_untracked(handler, action)
                self._telemetry.count("untracked.run")
            except (Exception, asyncio.CancelledError) as error:
                task = asyncio.current_task()
                if task is not None and task.cancelling():
                    raise  # the worker is cancelled, and not the handler by itself
                self._telemetry.count("untracked.failed")
                logger.warning("untracked action failed: %r", error, extra={"action": type(action).__name__})
            finally:
                self._queue.task_done()
