"""The worker: runs a layer's tracked actions and feeds their results back."""

from __future__ import annotations

import asyncio
import functools
import logging
import random
import time
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any

from phasm_fdb import aio
from phasm_fdb.actions import Tracked
from phasm_fdb.database.staged import Staged
from phasm_fdb.database.transactional import run
from phasm_fdb.errors import StaleCompletion
from phasm_fdb.keys import pack_element
from phasm_fdb.outbox import Pending
from phasm_fdb.runtime.attempt import Attempt, idempotency_key
from phasm_fdb.runtime.handlers import Handler, Handlers

logger = logging.getLogger("phasm_fdb.worker")


class Worker:
    """Runs the pending actions of a layer through their handlers, and feeds the results back.

        async with Worker(db, wallets, handlers):
            ...                                     # or: await Worker(db, wallets, handlers).run()

    Args:
        db: the database that the layer lies in.
        layer: the layer.
        handlers: what runs the actions; a type without a handler stays pending.
        name: how logs name this worker.
        concurrency: how many handlers run at once.
        clock: the time in seconds since the epoch.
        chance: the source of jitter.
        poll_seconds: how often to look for actions although no watch has fired: watches may be lost.
        executor: where plain handlers run; the event loop's own thread pool if left out.

    Raises:
        HandlerError: a handler is registered for what is no action of the machine.
    """

    def __init__(
        self,
        db: Any,
        layer: Any,
        handlers: Handlers,
        name: str | None = None,
        *,
        concurrency: int = 64,
        clock: Callable[[], float] = time.time,
        chance: random.Random | None = None,
        poll_seconds: float = 5.0,
        executor: Executor | None = None,
    ) -> None:
        if concurrency < 1:
            raise ValueError(f"concurrency is {concurrency}, and must be at least 1")
        handlers.check(layer.machinery.definition)
        self.name = name or f"{layer.machinery.definition.name}-worker"
        self._db = db
        self._layer = layer
        self._handlers = handlers
        self._concurrency = concurrency
        self._clock = clock
        self._chance = chance if chance is not None else random.Random()
        self._poll_seconds = poll_seconds
        self._executor = executor
        self._stopping = False
        self._wake = asyncio.Event()
        self._running: dict[bytes, asyncio.Task[None]] = {}
        self._busy_keys: set[bytes] = set()
        self._substitutes: dict[bytes, Tracked[Any]] = {}
        self._background: asyncio.Task[None] | None = None

    # ------------------------------------------------------------------------------------------- running

    async def run(self) -> None:
        """Work until `stop` is called, which drains, or the task is cancelled, which does not.

        Raises:
            RestoreError: the machine cannot resume from its state.
        """
        try:
            restored = await aio.run(self._layer.restore, self._db)
            self._substitutes = {pack_element(action.id): action for action in restored.tracked}
            while not self._stopping:
                self._wake.clear()
                pending, watches = await aio.run(run, self._db, self._look)
                self._start(pending)
                await self._next(watches)
            if self._running:
                await asyncio.wait(self._running.values())
        finally:
            await self._cancel_all()

    def stop(self) -> None:
        """Start no more actions, and let `run` return when those that run have ended."""
        self._stopping = True
        self._wake.set()

    async def __aenter__(self) -> Worker:
        self._background = asyncio.get_running_loop().create_task(self.run(), name=self.name)
        return self

    async def __aexit__(self, *exception: object) -> None:
        assert self._background is not None
        self.stop()
        await self._background

    def _look(self, tr: Any) -> tuple[list[Pending], list[Any]]:
        machinery = self._layer.machinery
        lanes = machinery.meta.peek(Staged(tr)).lanes
        pending = list(machinery.outbox.pending(tr, lanes))
        return pending, [tr.watch(machinery.keyspace.signal(lane)) for lane in range(lanes)]

    async def _next(self, watches: list[Any]) -> None:
        """Return when there may be something to start: a watch fired, a handler ended, or it is time to poll."""
        for watch in watches:
            watch.on_ready(self._wake_from_any_thread(asyncio.get_running_loop()))
        try:
            await asyncio.wait_for(self._wake.wait(), self._poll_seconds)
        except TimeoutError:
            pass
        finally:
            for watch in watches:
                watch.cancel()

    def _wake_from_any_thread(self, loop: asyncio.AbstractEventLoop) -> Callable[[Any], None]:
        def wake(_watch: Any) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(self._wake.set)

        return wake

    async def _cancel_all(self) -> None:
        tasks = list(self._running.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # ------------------------------------------------------------------------------------------- actions

    def _start(self, pending: list[Pending]) -> None:
        blocked = set(self._busy_keys)
        for one in pending:
            packed = pack_element(one.tracked.id)
            key = None if one.tracked.ordering_key is None else pack_element(one.tracked.ordering_key)
            action = self._substitutes.get(packed, one.tracked).action
            handler = self._handlers.of(action)
            free = packed not in self._running and key not in blocked and len(self._running) < self._concurrency
            if key is not None:
                blocked.add(key)
            if free and handler is not None:
                if key is not None:
                    self._busy_keys.add(key)
                task = asyncio.get_running_loop().create_task(self._work_on(one, action, handler))
                self._running[packed] = task
                task.add_done_callback(functools.partial(self._ended, packed, key))

    def _ended(self, packed: bytes, key: bytes | None, _task: Any) -> None:
        del self._running[packed]
        self._substitutes.pop(packed, None)
        if key is not None:
            self._busy_keys.discard(key)
        self._wake.set()

    async def _work_on(self, pending: Pending, action: Any, handler: Handler) -> None:
        """Call the handler, and feed its result back, until the machine has taken one."""
        machinery = self._layer.machinery
        name, id = machinery.definition.name, pending.tracked.id
        key = idempotency_key(name, machinery.keyspace.prefix, pending.stamp)
        number = 1
        while True:
            try:
                result = await self._call(handler, action, Attempt(number, key, id, name))
                await aio.run(self._layer.complete, self._db, id, result)
                return
            except StaleCompletion:
                logger.debug("%s: %r was completed or cancelled meanwhile", self.name, id)
                return
            except Exception as error:
                logger.warning("%s: attempt %d at %r failed: %r", self.name, number, action, error)
            await asyncio.sleep(handler.retry.delay(number, self._chance))
            number += 1

    async def _call(self, handler: Handler, action: Any, attempt: Attempt) -> Any:
        if handler.is_async:
            return await handler.function(action, attempt)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, handler.function, action, attempt)
