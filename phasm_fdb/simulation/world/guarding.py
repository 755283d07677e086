"""Running a workload's code: it may reach for nothing real, or its run could not be repeated.

The doors are the guard's (`phasm_fdb.guard`), which it closes for machines. A handler may do more than a machine: make
tasks, sleep on the loop, read the environment. The clock of the system, chance, files, sockets, processes and threads
raise `OutsideSimulation`, with the place of the call.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ParamSpec, TypeVar

from phasm_fdb.guard.mode import Watch, watched
from phasm_fdb.outside import DOORS
from phasm_fdb.runtime import Handlers
from phasm_fdb.simulation.world.loop import OutsideSimulation

P = ParamSpec("P")
T = TypeVar("T")
Handling = Callable[[Any, Any], Any]

#: What code under simulation does instead, by the kind of door.
_INSTEAD = {
    "clock": "take the time from the event loop, or from what the workload is given",
    "random": "draw from the `rng` that the workload is given",
    "uuid": "make ids from the `rng` that the workload is given",
    "secrets": "draw from the `rng` that the workload is given",
    "file": "keep what is needed in memory",
    "socket": "let the workload's `perform` answer",
    "subprocess": "let the workload's `perform` answer",
    "thread": "run it as a task",
    "sleep": "await asyncio.sleep(), which takes virtual time",
}


def guarded(name: str, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a workload's function.

    Args:
        name: how messages name it.

    Raises:
        OutsideSimulation: it reached for something real.
    """
    token = watched.set(_watch(name))
    try:
        return function(*args, **kwargs)
    finally:
        watched.reset(token)


def guard_handlers(handlers: Handlers, failed: Callable[[BaseException], None]) -> Handlers:
    """Let all handlers run under the same rule.

    Args:
        failed: told of what they raise for it; the worker takes that for a failed attempt.
    """
    for type_, handler in list(handlers._handlers.items()):
        watch = _watch(f"the handler of {type_.__name__}")
        wrap = _guarded_async if handler.is_async else _guarded_plain
        handlers._handlers[type_] = dataclasses.replace(handler, function=wrap(watch, handler.function, failed))
    return handlers


def _guarded_async(watch: Watch, function: Handling, failed: Callable[[BaseException], None]) -> Handling:
    async def call(action: Any, attempt: Any) -> Any:
        with _watching(watch, failed):
            return await function(action, attempt)

    return call


def _guarded_plain(watch: Watch, function: Handling, failed: Callable[[BaseException], None]) -> Handling:
    def call(action: Any, attempt: Any) -> Any:
        with _watching(watch, failed):
            return function(action, attempt)

    return call


@contextmanager
def _watching(watch: Watch, failed: Callable[[BaseException], None]) -> Iterator[None]:
    """Let a watch look at what is called, and tell of a call that leads out of the simulation."""
    token = watched.set(watch)
    try:
        yield
    except OutsideSimulation as error:
        failed(error)
        raise
    finally:
        watched.reset(token)


def _watch(name: str) -> Watch:
    def refuse(kind: str, call: str, place: str) -> None:
        if kind not in _INSTEAD or call.startswith(("asyncio.", "sqlite3.")):
            return  # tasks are simulated; an outside world may be a database in memory
        raise OutsideSimulation(
            f"{name} calls {call} at {place}, which {DOORS[kind].does}: there is none of it in a simulation; "
            f"{_INSTEAD[kind]}"
        )

    return Watch("error", name, refuse)
