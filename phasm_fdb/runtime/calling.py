"""Calling a handler: async ones on the loop, plain ones in the executor, each within its time."""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any

from phasm_fdb.runtime.attempt import Attempt, idempotency_key
from phasm_fdb.runtime.handlers import Handler
from phasm_fdb.runtime.telemetry import Telemetry
from phasm_fdb.runtime.work import Work
from phasm_fdb.transition.context import LayerContext


class Caller:
    """Calls the handlers of one layer's actions.

    Args:
        clock: the time in seconds since the epoch, for deadlines that handlers read.
        executor: where plain handlers run; the event loop's own thread pool if None.
    """

    def __init__(
        self, context: LayerContext, clock: Callable[[], float], executor: Executor | None, telemetry: Telemetry
    ) -> None:
        self._context = context
        self._clock = clock
        self._executor = executor
        self._telemetry = telemetry

    async def call(self, handler: Handler, work: Work) -> Any:
        """Make one attempt at a tracked action; gives what the handler returns, raises what it raises.

        Raises:
            TimeoutError: the attempt took too long.
        """
        name = self._context.definition.name
        key = idempotency_key(name, self._context.keyspace.prefix, work.origin)
        id, number = work.id, work.progress.attempts
        loop = asyncio.get_running_loop()
        begun = loop.time()
        outcome = "cancelled"
        try:
            with self._telemetry.span("phasm.action", action=work.tag, attempt=number, lane=work.lane, id=repr(id)):
                async with asyncio.timeout(None) as limit:
                    budget = Budget(handler, work, limit, loop, self._clock)
                    budget.extend()
                    attempt = Attempt(number, key, id, name, budget.deadline, budget.extend_from_any_thread)
                    result = await self._invoke(handler, work.action, attempt)
            outcome = "ok"
            return result
        except Exception as error:
            outcome = type(error).__name__
            raise
        finally:
            self._telemetry.handled(work.tag, loop.time() - begun, outcome)

    async def call_untracked(self, handler: Handler, action: Any) -> None:
        """Make the one attempt at an untracked action."""
        async with asyncio.timeout(handler.retry.timeout):
            await self._invoke(handler, action, Attempt(1, "", None, self._context.definition.name))

    async def _invoke(self, handler: Handler, action: Any, attempt: Attempt) -> Any:
        if handler.is_async:
            return await handler.function(action, attempt)
        call = functools.partial(handler.function, action, attempt)
        result = await asyncio.get_running_loop().run_in_executor(self._executor, call)
        return await result if inspect.isawaitable(result) else result


class Budget:
    """How long an attempt may still take: its timeout from the last heartbeat, but not beyond the total deadline."""

    def __init__(
        self,
        handler: Handler,
        work: Work,
        limit: asyncio.Timeout,
        loop: asyncio.AbstractEventLoop,
        clock: Callable[[], float],
    ) -> None:
        self._limit = limit
        self._loop = loop
        self._clock = clock
        self._timeout = handler.retry.timeout
        total = handler.retry.total
        self._end = None if total is None else work.progress.first_ms / 1000 + total
        self.deadline: float | None = None

    def extend(self) -> None:
        """Start the timeout anew, now."""
        now = self._clock()
        ends = [end for end in (self._end, None if self._timeout is None else now + self._timeout) if end is not None]
        self.deadline = min(ends) if ends else None
        if self.deadline is not None:
            self._limit.reschedule(self._loop.time() + max(0.0, self.deadline - now))

    def extend_from_any_thread(self) -> float | None:
        """The same, for a handler that may run in a thread; gives the new deadline."""
        self._loop.call_soon_threadsafe(self._extend_if_running)
        now = self._clock()
        ends = [end for end in (self._end, None if self._timeout is None else now + self._timeout) if end is not None]
        return min(ends) if ends else None

    def _extend_if_running(self) -> None:
        try:
            self.extend()
        except RuntimeError:  # the attempt has ended meanwhile
            return
