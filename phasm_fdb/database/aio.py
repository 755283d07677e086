"""Run plain database code from asyncio without a thread: `await aio.run(layer.apply, db, Pay("ann", 500))`.

The function runs in a greenlet (as SQLAlchemy's asyncio extension does it). Where it waits for the database, the
event loop goes on with other tasks, so hundreds of transactions can be in flight on one loop.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections import deque
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar
from weakref import WeakKeyDictionary

from phasm_fdb.database.port import Future
from phasm_fdb.database.waiting import Suspendable, wait

P = ParamSpec("P")
T = TypeVar("T")


async def run(function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Call `function(*args, **kwargs)` on this event loop, suspending the task where it waits for the database.

    Cancelling the task cancels the future it waits for, and raises `CancelledError` inside the function, where
    the retry loop cancels its transaction. Raises what the function raises.
    """
    loop = asyncio.get_running_loop()
    task = Suspendable(function)
    task.gr_context = contextvars.copy_context()
    outcome: Any = task.switch(*args, **kwargs)
    while not task.dead:
        try:
            await _woken_by(outcome, loop)
        except BaseException as error:
            outcome.cancel()
            outcome = task.throw(error)
        else:
            outcome = task.switch()
    return outcome  # type: ignore[no-any-return]


async def ready(future: Future[Any]) -> None:
    """Return when `future` is ready; its result or error is still to be asked for with `wait()`."""
    if not future.is_ready():
        await _woken_by(future, asyncio.get_running_loop())


async def settled(future: Future[T]) -> T:
    """The future's result, as `waiting.wait` gives it; for coroutines, which need no greenlet."""
    await ready(future)
    return wait(future)


def _woken_by(future: Future[Any], loop: asyncio.AbstractEventLoop) -> asyncio.Future[None]:
    """A future of the loop that is done when `future` is ready."""
    woken = loop.create_future()
    wakeups = _wakeups.get(loop)
    if wakeups is None:
        wakeups = _wakeups[loop] = _Wakeups()
    future.on_ready(lambda _: wakeups.wake(woken, loop))
    return woken


class _Wakeups:
    """What other threads have made ready for one event loop.

    FoundationDB calls `on_ready` on its network thread, one future at a time. A call into the loop costs a system
    call, so one call serves all that have come until the loop gets to it.
    """

    def __init__(self) -> None:
        self._woken: deque[asyncio.Future[None]] = deque()
        self._called = False

    def wake(self, woken: asyncio.Future[None], loop: asyncio.AbstractEventLoop) -> None:
        """Finish `woken` in the loop's thread; called from any.

        Futures that were cancelled become ready too, and the loop may be closed by then: such a wake-up has nobody
        to go to and is dropped.
        """
        self._woken.append(woken)
        if self._called:
            return
        self._called = True
        try:
            loop.call_soon_threadsafe(self._serve)
        except RuntimeError:
            if not loop.is_closed():
                raise
            self._woken.clear()  # they would keep the loop alive

    def _serve(self) -> None:
        self._called = False  # first: what is appended from now on makes a call of its own
        while self._woken:
            woken = self._woken.popleft()
            if not woken.done():
                woken.set_result(None)


_wakeups: WeakKeyDictionary[asyncio.AbstractEventLoop, _Wakeups] = WeakKeyDictionary()
