"""Waking the tasks of an event loop as the futures that they wait for become ready.

FoundationDB calls `on_ready` on its network thread, for one future at a time, and each call needs the interpreter's
lock, which that thread then takes from the loop's again and again. So while very many futures are waited for, those
beyond the first have no callback: the loop looks at them all every millisecond. (The embedded engine's futures, which
say so by `calls_cheaply`, are made ready by whatever thread does the work anyway.)
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any
from weakref import WeakKeyDictionary

from phasm_fdb.database.port import Future

#: So many futures have a callback at once.
MOST_CALLED = 32
#: How often the loop looks at the others.
LOOK_SECONDS = 0.001
#: What is not ready after so many looks is a watch, or as slow: it gets a callback too, which does not count.
MOST_LOOKS = 1000


class Wakeups:
    """The futures that the tasks of one event loop wait for."""

    def __init__(self) -> None:
        self._ready: deque[asyncio.Future[None]] = deque()
        self._serving = False
        self._called: set[asyncio.Future[None]] = set()
        self._looked_at: list[tuple[Future[Any], asyncio.Future[None]]] = []
        self._looks = 0

    def soon(self, future: Future[Any], loop: asyncio.AbstractEventLoop) -> asyncio.Future[None]:
        """A future of the loop that is done when `future` is ready, which takes milliseconds."""
        if getattr(future, "calls_cheaply", False):
            return self.some_time(future, loop)
        if len(self._called) < MOST_CALLED:
            woken = self.some_time(future, loop)
            self._called.add(woken)
            return woken
        woken = loop.create_future()
        if not self._looked_at:
            loop.call_later(LOOK_SECONDS, self._look, loop)
        self._looked_at.append((future, woken))
        return woken

    def some_time(self, future: Future[Any], loop: asyncio.AbstractEventLoop) -> asyncio.Future[None]:
        """A future of the loop that is done when `future` is ready, which may take for ever: a watch."""
        woken = loop.create_future()
        self._call(future, woken, loop)
        return woken

    def _call(self, future: Future[Any], woken: asyncio.Future[None], loop: asyncio.AbstractEventLoop) -> None:
        future.on_ready(lambda _: self._wake(woken, loop))

    def _wake(self, woken: asyncio.Future[None], loop: asyncio.AbstractEventLoop) -> None:
        """Finish `woken` in the loop's thread; called from any.

        A call into the loop costs a system call, so one serves all that have come until the loop gets to it. Futures
        that were cancelled become ready too, and the loop may be closed by then: such a wake-up has nobody to go to
        and is dropped.
        """
        self._ready.append(woken)
        if self._serving:
            return
        try:
            self._serving = True
            loop.call_soon_threadsafe(self._serve)
        except RuntimeError:
            if not loop.is_closed():
                raise
            self._ready.clear()  # they would keep the loop alive
        except BaseException:
            # A signal has interrupted the thread that settled the future, which may be another one than the loop's.
            loop.call_soon_threadsafe(self._serve)
            raise

    def _serve(self) -> None:
        self._serving = False  # first: what is appended from now on makes a call of its own
        while self._ready:
            woken = self._ready.popleft()
            self._called.discard(woken)
            if not woken.done():
                woken.set_result(None)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        """Wake those who wait for what is ready, and come again for the others."""
        waiting, self._looked_at = self._looked_at, []
        for future, woken in waiting:
            if woken.done():  # its task was cancelled
                continue
            if future.is_ready():
                woken.set_result(None)
            else:
                self._looked_at.append((future, woken))
        self._looks += 1
        if self._looks % MOST_LOOKS == 0:
            self._stop_looking(loop)
        if self._looked_at:
            loop.call_later(LOOK_SECONDS, self._look, loop)

    def _stop_looking(self, loop: asyncio.AbstractEventLoop) -> None:
        waiting, self._looked_at = self._looked_at, []
        self._called.clear()
        for future, woken in waiting:
            self._call(future, woken, loop)


def wakeups_of(loop: asyncio.AbstractEventLoop) -> Wakeups:
    """The one object of a loop."""
    wakeups = _of_loops.get(loop)
    if wakeups is None:
        for other in list(_of_loops):
            if other.is_closed():  # a loop that ended in the middle is still held by what it waited for
                del _of_loops[other]
        wakeups = _of_loops[loop] = Wakeups()
    return wakeups


_of_loops: WeakKeyDictionary[asyncio.AbstractEventLoop, Wakeups] = WeakKeyDictionary()
