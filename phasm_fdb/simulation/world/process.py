"""A simulated process: what runs in one memory, and can be paused, go on, or die."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from phasm_fdb.simulation.world.loop import Handle, SimulatedLoop

T = TypeVar("T")

_current: contextvars.ContextVar[Process | None] = contextvars.ContextVar("phasm process", default=None)


class Process:
    """One process on the simulated machine park.

    While it is paused its callbacks are held, so that it takes no notice of the time that passes. When it dies, its
    database answers nothing any more and all its tasks are cancelled: whatever they do then reaches nobody.

    Args:
        name: how the trace names it.
        died: called when it crashes, with the place.

    Attributes:
        skew: seconds by which its wall clock is ahead of the true time.
    """

    def __init__(self, loop: SimulatedLoop, name: str, died: Callable[[str], None] = lambda where: None) -> None:
        self.loop = loop
        self.name = name
        self.skew = 0.0
        self.is_dead = False
        self.held: list[Handle] = []
        self._is_paused = False
        self._died = died
        self._tasks: dict[asyncio.Task[Any], None] = {}  # a set has no order, and so would not repeat itself
        self._ended = asyncio.Event()
        self._ended.set()

    def spawn(self, coroutine: Coroutine[Any, Any, T], name: str = "") -> asyncio.Task[T]:
        """Run a coroutine as a task of this process; the tasks that it makes are of this process too."""
        context = contextvars.copy_context()
        context.run(_current.set, self)
        task: asyncio.Task[T] = context.run(self.loop.create_task, coroutine, name=name or self.name, context=context)
        return task

    # ------------------------------------------------------------------------------------- pausing

    def pause(self) -> None:
        """Stop running, as SIGSTOP does."""
        self._is_paused = True

    def resume(self) -> None:
        """Go on, as SIGCONT does."""
        self._is_paused = False
        self.loop.put_back(self.held)

    # --------------------------------------------------------------------------------------- dying

    def crash(self, where: str) -> None:
        """Die, as SIGKILL does it; may be called from within."""
        if not self.is_dead:
            self.end()
            self._died(where)

    def end(self) -> None:
        """The same, and nobody is told: the run is over."""
        self.is_dead = True
        self.resume()
        for task in list(self._tasks):
            task.cancel()

    @property
    def is_busy(self) -> bool:
        """Whether anything of it runs."""
        return bool(self._tasks)

    async def gone(self) -> None:
        """Return when nothing of a dead process runs any more."""
        while self._tasks:
            self._ended.clear()
            await self._ended.wait()

    def _adopt(self, task: asyncio.Task[Any]) -> None:
        self._tasks[task] = None
        task.add_done_callback(self._task_ended)
        if self.is_dead:
            task.cancel()

    def _task_ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.pop(task, None)
        if not task.cancelled():
            task.exception()  # whoever awaits it has it; and of a dead process nobody asks
        if not self._tasks:
            self._ended.set()


class Processes:
    """All processes on one loop: tells whose a task is, and holds the callbacks of those that are paused."""

    def __init__(self, loop: SimulatedLoop) -> None:
        self._loop = loop
        loop.created = self._created

    def watch_pauses(self, is_any_paused: bool) -> None:
        """Begin or end to ask for each callback whether its process is paused."""
        self._loop.holds = self._holds if is_any_paused else None

    @staticmethod
    def _created(task: asyncio.Task[Any]) -> None:
        process = _current.get()
        if process is not None:
            process._adopt(task)

    @staticmethod
    def _holds(context: contextvars.Context) -> list[Handle] | None:
        process = context.get(_current)
        return process.held if process is not None and process._is_paused else None
