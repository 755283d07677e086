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
from phasm_fdb.database.waiting import Suspendable, wait
from phasm_fdb.database.wakeups import wakeups_of

P = ParamSpec("P")
T = TypeVar("T")


async def run(function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Call `function(*args, **kwargs)` on this event loop, suspending the task where it waits for the database.

    Cancelling the task cancels the future it waits for, and raises `CancelledError` inside the function, where
    the retry loop cancels its transaction. Raises what the function raises.
    """
    loop = asyncio.get_running_loop()
    wakeups = wakeups_of(loop)
    task = Suspendable(function)
    task.gr_context = contextvars.copy_context()
    outcome: Any = task.switch(*args, **kwargs)
    while not task.dead:
        try:
            await wakeups.soon(outcome, loop)
        except BaseException as error:
            outcome.cancel()
            outcome = task.throw(error)
        else:
            outcome = task.switch()
    return outcome  # type: ignore[no-any-return]


async def ready(future: Future[Any]) -> None:
    """Return when `future`, such as a watch, is ready; its result or error is still to be asked for with `wait()`."""
    if not future.is_ready():
        loop = asyncio.get_running_loop()
        await wakeups_of(loop).some_time(future, loop)


async def settled(future: Future[T]) -> T:
    """The future's result, as `waiting.wait` gives it; for coroutines, which need no greenlet."""
    if not future.is_ready():
        loop = asyncio.get_running_loop()
        await wakeups_of(loop).soon(future, loop)
    return wait(future)
