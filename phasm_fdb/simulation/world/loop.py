"""An asyncio event loop in which time is virtual and the order of things is a decision.

Tasks, timeouts, events, queues and the rest of asyncio run on it unmodified. What differs:

- Sleeping costs nothing. The clock stands still while anything is ready to run, and then jumps to the next timer.
- Which of several ready callbacks runs next is decided by a site of the run's choices; the default is the first.
- Nothing real is let in. Sockets, pipes, subprocesses, signals, and callbacks from other threads raise
  `OutsideSimulation`, which names the place. Plain functions given to an executor run on this loop, in a greenlet, so
  that their waits for the database are waits of one task.
"""

from __future__ import annotations

import asyncio
import contextvars
import heapq
import itertools
import logging
import sys
import threading
from asyncio import events
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from types import FrameType
from typing import Any, TypeVar

from phasm_fdb.database import aio
from phasm_fdb.errors import PhasmError
from phasm_fdb.simulation.choices import Site

T = TypeVar("T")

logger = logging.getLogger("phasm_fdb.simulation")

#: So many callbacks may run at one instant; a system that needs more will never let time pass.
MOST_AT_ONCE = 2_000_000


class OutsideSimulation(PhasmError):
    """Code under simulation reached for something real: a socket, a thread, a process, the clock."""


class NothingWillHappen(PhasmError):
    """Everything waits, and nobody is left to wake anybody."""


class TimeStandsStill(PhasmError):
    """Callbacks call each other without end, and no time passes."""


class Handle:
    """A callback that is due; what asyncio calls a Handle."""

    __slots__ = ("_args", "_callback", "_context", "_is_cancelled", "_when")

    def __init__(
        self, callback: Callable[..., object], args: tuple[Any, ...], context: contextvars.Context | None, when: float
    ) -> None:
        self._callback: Callable[..., object] | None = callback
        self._args = args
        self._context = contextvars.copy_context() if context is None else context
        self._when = when
        self._is_cancelled = False

    def cancel(self) -> None:
        """Do not run it any more."""
        self._is_cancelled = True
        self._callback = None
        self._args = ()

    def cancelled(self) -> bool:
        """Whether it was cancelled."""
        return self._is_cancelled

    def when(self) -> float:
        """When it is due, in the loop's time."""
        return self._when

    @property
    def context(self) -> contextvars.Context:
        """What the callback runs in."""
        return self._context


def _refused(name: str, what: str) -> Callable[..., Any]:
    def refuse(self: Any, *args: Any, **kwargs: Any) -> Any:
        raise OutsideSimulation(
            f"loop.{name}() is called{place_outside()}: there are no real {what} in a simulation; "
            "describe the call as a tracked action, and let the workload's `perform` answer it"
        )

    refuse.__name__ = refuse.__qualname__ = name
    refuse.__doc__ = f"Raises OutsideSimulation: there are no real {what}."
    return refuse


_REAL = {
    "sockets": (
        *("create_connection", "create_server", "create_unix_connection", "create_unix_server", "start_tls"),
        *("create_datagram_endpoint", "sendfile", "connect_accepted_socket", "getaddrinfo", "getnameinfo"),
        *("sock_recv", "sock_recv_into", "sock_recvfrom", "sock_recvfrom_into", "sock_sendall", "sock_sendto"),
        *("sock_connect", "sock_accept", "sock_sendfile"),
    ),
    "files": ("add_reader", "remove_reader", "add_writer", "remove_writer", "connect_read_pipe", "connect_write_pipe"),
    "processes": ("subprocess_shell", "subprocess_exec"),
    "signals": ("add_signal_handler", "remove_signal_handler"),
    "threads": ("set_default_executor",),
}

#: asyncio's loop with all of that refused. It is made here because the loop is abstract as long as a method is missing.
_Unreal: Any = type(
    "_Unreal",
    (asyncio.AbstractEventLoop,),
    {name: _refused(name, what) for what, names in _REAL.items() for name in names},
)


class SimulatedLoop(_Unreal):  # type: ignore[misc]
    """The loop.

    Args:
        schedule: decides which ready callback runs next: None is the first, a number n the n-th (modulo how many).

    Attributes:
        holds: asked for every callback while it is set: the list in which to keep it for later, or None to run it.
        created: told of every new task.
        failed: told of an error that nobody was there to take.
    """

    def __init__(self, schedule: Site | None = None) -> None:
        self.schedule = schedule
        self.holds: Callable[[contextvars.Context], list[Handle] | None] | None = None
        self.created: Callable[[asyncio.Task[Any]], None] | None = None
        self.failed: Callable[[BaseException], None] | None = None
        self._elsewhere = contextvars.Context()
        self._now = 0.0
        self._ready: deque[Handle] = deque()
        self._timers: list[tuple[float, int, Handle]] = []
        self._numbers = itertools.count()
        self._thread = threading.get_ident()
        self._is_stopping = False
        self._is_running = False
        self._is_closed = False
        self._at_once = 0

    # --------------------------------------------------------------------------------------------- time

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Let time pass for a caller that blocks the loop: what falls due meanwhile is only late."""
        self._now += seconds

    # ---------------------------------------------------------------------------------------- callbacks

    def call_soon(
        self, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None
    ) -> Handle:
        """Run `callback(*args)` when it is its turn."""
        handle = Handle(callback, args, context, self._now)
        self._ready.append(handle)
        return handle

    def call_soon_threadsafe(
        self, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None
    ) -> Handle:
        """The same in a context of nobody's, as a thread would call it; raises OutsideSimulation if a real one does."""
        if threading.get_ident() != self._thread:
            raise OutsideSimulation(
                f"a real thread calls into the simulation{place_outside()}: "
                "run the work as a coroutine, or as a plain handler, which the simulation runs by itself"
            )
        return self.call_soon(callback, *args, context=self._elsewhere if context is None else context)

    def call_later(
        self, delay: float, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None
    ) -> Handle:
        """Run it after so many virtual seconds."""
        return self.call_at(self._now + delay, callback, *args, context=context)

    def call_at(
        self, when: float, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None
    ) -> Handle:
        """Run it at a time of this loop."""
        handle = Handle(callback, args, context, when)
        if when <= self._now:
            self._ready.append(handle)
        else:
            heapq.heappush(self._timers, (when, next(self._numbers), handle))
        return handle

    def put_back(self, handles: list[Handle]) -> None:
        """Let callbacks run that were held; the list is emptied."""
        self._ready.extend(handles)
        handles.clear()

    # -------------------------------------------------------------------------------- futures and tasks

    def create_future(self) -> asyncio.Future[Any]:
        """A future of this loop."""
        return asyncio.Future(loop=self)

    def create_task(
        self, coro: Coroutine[Any, Any, T] | Generator[Any, None, T], *, name: str | None = None, context: Any = None
    ) -> asyncio.Task[T]:
        """Run a coroutine."""
        task = asyncio.Task(coro, loop=self, name=name, context=context)
        if self.created is not None:
            self.created(task)
        return task

    def run_in_executor(self, executor: Any, func: Callable[..., T], *args: Any) -> asyncio.Future[T]:
        """Run a plain function as a task: its waits for the database suspend it, and nothing else does.

        Args:
            executor: not used: a real thread or process would know nothing of virtual time.
        """
        return self.create_task(aio.run(func, *args), name=getattr(func, "__qualname__", "plain function"))

    # ------------------------------------------------------------------------------------------ running

    def run_until_complete(self, future: Any) -> Any:
        """Run until `future`, a coroutine or a future, is done; its result.

        Raises:
            NothingWillHappen: it waits for something that will never come.
            TimeStandsStill: callbacks call each other without end.
        """
        task = asyncio.ensure_future(future, loop=self)
        task.add_done_callback(self._stop_when_done)
        try:
            self.run_forever()
        except BaseException:
            task.cancel()
            raise
        finally:
            task.remove_done_callback(self._stop_when_done)
        if not task.done():
            raise NothingWillHappen("the loop was stopped before the simulated program had ended")
        return task.result()

    def run_forever(self) -> None:
        """Run until `stop` is called."""
        if self._is_closed or self._is_running or events._get_running_loop() is not None:
            raise RuntimeError("the simulated loop is closed, or another loop is running in this thread")
        self._thread = threading.get_ident()
        self._is_running, self._is_stopping = True, False
        events._set_running_loop(self)
        try:
            self._run()
        finally:
            events._set_running_loop(None)
            self._is_running = False

    def _stop_when_done(self, _task: Any) -> None:
        self.stop()

    def _run(self) -> None:
        ready = self._ready
        schedule = self.schedule
        while not self._is_stopping:
            if not ready:
                self._jump()
            if schedule is not None and len(ready) > 1 and (turn := schedule.decide()) is not None:
                turn %= len(ready)
                handle = ready[turn]
                del ready[turn]
            else:
                handle = ready.popleft()
            callback = handle._callback
            if callback is None:
                continue
            if self.holds is not None:
                held = self.holds(handle._context)
                if held is not None:
                    held.append(handle)
                    continue
            self._at_once += 1
            if self._at_once > MOST_AT_ONCE:
                raise TimeStandsStill(f"{MOST_AT_ONCE:,} callbacks ran, and no time has passed: the last is {callback}")
            try:
                handle._context.run(callback, *handle._args)
            except (SystemExit, KeyboardInterrupt):
                raise
            except BaseException as error:
                self.call_exception_handler({"message": f"a callback failed: {callback}", "exception": error})

    def _jump(self) -> None:
        """Let time pass until the next timer."""
        timers, ready = self._timers, self._ready
        while timers and timers[0][2]._callback is None:
            heapq.heappop(timers)
        if not timers:
            raise NothingWillHappen("all tasks wait, and nothing is due: they would wait for ever")
        self._now = max(self._now, timers[0][0])
        self._at_once = 0
        while timers and timers[0][0] <= self._now:
            handle = heapq.heappop(timers)[2]
            if handle._callback is not None:
                ready.append(handle)

    def stop(self) -> None:
        """Stop after the callback that runs now."""
        self._is_stopping = True

    def is_running(self) -> bool:
        """Whether it runs."""
        return self._is_running

    def is_closed(self) -> bool:
        """Whether it was closed."""
        return self._is_closed

    def close(self) -> None:
        """Drop what is left."""
        self._is_closed = True
        self._ready.clear()
        self._timers.clear()

    async def shutdown_asyncgens(self) -> None:
        """Nothing to do: generators end when their tasks do."""

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        """Nothing to do: there is none."""

    # ------------------------------------------------------------------------------------------- errors

    def get_debug(self) -> bool:
        """Never: debugging measures real time."""
        return False

    def set_debug(self, enabled: bool) -> None:
        """Has no effect."""

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Report an error that nobody was there to take."""
        error = context.get("exception")
        logger.error("%s: %r", context.get("message"), error)
        if error is not None and self.failed is not None:
            self.failed(error)


#: What acts for its caller: it is not to blame.
_ACTS_FOR_OTHERS = ("phasm_fdb", "greenlet")


def place_outside() -> str:
    """Where user code made the call that is being refused: ` at FILE:LINE`, or nothing if none is found."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        package = str(frame.f_globals.get("__name__", "")).partition(".")[0]
        if package not in _ACTS_FOR_OTHERS and (package == "__main__" or package not in sys.stdlib_module_names):
            return f" at {frame.f_code.co_filename}:{frame.f_lineno}"
        frame = frame.f_back
    return ""
