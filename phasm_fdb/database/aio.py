"""Run plain database code from asyncio without a thread: `await aio.run(layer.apply, db, Pay("ann", 500))`.

The function runs in a greenlet (as SQLAlchemy's asyncio extension does it). Where it waits for the database, the
event loop goes on with other tasks, so hundreds of transactions can be in flight on one loop.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from phasm_fdb.database.port import Future
from phasm_fdb.database.waiting import Suspendable, result_of

P = ParamSpec("P")
T = TypeVar("T")


async def run(function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Call `function(*args, **kwargs)` on this event loop, suspending the task where it waits for the database.

    Cancelling the task cancels the future it waits for, and raises `CancelledError` inside the function, where
    the retry loop cancels its transaction. Raises what the function raises.
    """
    task = Suspendable(function)
    task.gr_context = contextvars.copy_context()
    outcome: Any = task.switch(*args, **kwargs)
    while not task.dead:
        try:
            await ready(outcome)
        except BaseException as error:
            outcome.cancel()
            outcome = task.throw(error)
        else:
            outcome = task.switch()
    return outcome  # type: ignore[no-any-return]


async def ready(future: Future[Any]) -> None:
    """Return when `future` is ready; its result or error is still to be asked for with `wait()`.

    FoundationDB calls `on_ready` on its network thread, also for futures that were cancelled, and the loop may be
    closed by then: such a wake-up has nobody to go to and is dropped.
    """
    if future.is_ready():
        return
    loop = asyncio.get_running_loop()
    woken = loop.create_future()

    def wake() -> None:
        if not woken.done():
            woken.set_result(None)

    def on_ready(_future: Any) -> None:
        try:
            loop.call_soon_threadsafe(wake)
        except RuntimeError:
            if not loop.is_closed():
                raise

    future.on_ready(on_ready)
    await woken


async def settled(future: Future[T]) -> T:
    """The future's result, as `waiting.wait` gives it; for coroutines, which need no greenlet."""
    await ready(future)
    return result_of(future)  # type: ignore[no-any-return]
