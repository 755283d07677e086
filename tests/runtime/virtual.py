"""An event loop on virtual time, and a world for workers on it: sleeping costs nothing, and runs are repeatable."""

from __future__ import annotations

import asyncio
import random
import selectors
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor, Future
from typing import Any, TypeVar

from phasm_fdb import Layer, StateMachine
from phasm_fdb.embedded import open_memory
from phasm_fdb.runtime import Handlers, Worker

T = TypeVar("T")

EPOCH = 1_700_000_000.0


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop whose clock moves on only when there is nothing else to do, and then at once to the next timer."""

    def __init__(self) -> None:
        self._now = 0.0
        super().__init__(_JumpingSelector(self))

    def time(self) -> float:
        return self._now

    def jump(self, seconds: float) -> None:
        self._now += seconds


class _JumpingSelector(selectors.SelectSelector):
    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> Any:
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        assert timeout is not None, "the loop waits for something that will never happen"
        self._loop.jump(timeout)
        return []


class InlineExecutor(Executor):
    """Runs plain handlers at once, in the calling thread: a real thread would not know virtual time."""

    def __init__(self) -> None:
        self.calls = 0

    def submit(self, function: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        self.calls += 1
        future: Future[T] = Future()
        try:
            future.set_result(function(*args, **kwargs))
        except BaseException as error:
            future.set_exception(error)
        return future


class World:
    """A memory database on a virtual loop, and the workers of a layer on it."""

    def __init__(self, loop: VirtualLoop) -> None:
        self.loop = loop
        self.chance = random.Random(7)
        self.db = open_memory(clock=loop.time, sleep=loop.jump, random=self.chance.random, call_later=loop.call_later)
        self.skew: dict[str, float] = {}

    def clock(self) -> float:
        """The time in seconds since the epoch."""
        return EPOCH + self.loop.time()

    def now_ms(self) -> int:
        return int(self.clock() * 1000)

    def layer(self, machine: StateMachine, **options: Any) -> Layer:
        options.setdefault("clock", self.clock)
        return Layer(machine, ("layer",), token_bytes=self.chance.randbytes, **options)

    def worker(self, layer: Layer, handlers: Handlers, name: str = "worker", **options: Any) -> Worker:
        options.setdefault("clock", self.clock)
        options.setdefault("chance", random.Random(self.chance.random()))
        options.setdefault("executor", InlineExecutor())
        return Worker(self.db, layer, handlers, name, **options)

    async def until(self, condition: Callable[[], bool], seconds: float = 120.0, step: float = 0.02) -> float:
        """Wait, in virtual time, until a condition holds; returns how many seconds it took."""
        begun = self.loop.time()
        while not condition():
            assert self.loop.time() - begun < seconds, f"not within {seconds} virtual seconds"
            await asyncio.sleep(step)
        return self.loop.time() - begun


def in_virtual_time(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[[], None]:
    """Run an async test, which takes a `World`, on a virtual loop."""

    def run() -> None:
        loop = VirtualLoop()
        try:
            loop.run_until_complete(test(World(loop)))
            leftover = asyncio.all_tasks(loop)
            assert not leftover, f"the test left tasks behind: {leftover}"
        finally:
            loop.close()

    run.__name__, run.__doc__ = test.__name__, test.__doc__
    return run


class Pause:
    """Stops a worker as SIGSTOP would, as far as the database sees: its transactions wait until `resume`."""

    def __init__(self, worker: Worker) -> None:
        self._open = asyncio.Event()
        self._open.set()
        counted = worker._transact.counted

        async def gated(body: Callable[..., Any], *args: Any, **time: Any) -> Any:
            await self._open.wait()
            return await counted(body, *args, **time)

        worker._transact.counted = gated  # type: ignore[method-assign]

    def stop(self) -> None:
        self._open.clear()

    def resume(self) -> None:
        self._open.set()


async def killed(task: asyncio.Task[None]) -> None:
    """Kill a worker that runs as `task`: nothing is given back."""
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
