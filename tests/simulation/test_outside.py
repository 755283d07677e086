"""Nothing real is let into a simulation, and the message says where somebody reached for it."""

from __future__ import annotations

import asyncio
import random
import socket
import subprocess
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from phasm_fdb.runtime import Handlers
from phasm_fdb.simulation import simulate
from tests.simulation import machines

REAL: dict[str, Callable[[], Any]] = {
    "the clock": lambda: time.time(),
    "chance": lambda: random.random(),
    "a file": lambda: Path(__file__).read_text(),
    "a socket": lambda: socket.create_connection(("localhost", 1)),
    "a process": lambda: subprocess.run(["true"]),
    "a thread": lambda: threading.Thread(target=print).start(),
    "sleeping": lambda: time.sleep(1),
}


def workload(reach: Callable[[], Any], where: str) -> type[machines.ShopWorkload]:
    """A shop in which one part of the workload reaches outside."""

    class Reaching(machines.ShopWorkload):
        def next_input(self, rng: random.Random, view: Any) -> Any:
            if where == "next_input":
                reach()
            return super().next_input(rng, view)

        def perform(self, rng: random.Random, action: Any) -> Any:
            if where == "perform":
                reach()
            return super().perform(rng, action)

    async def handle() -> None:
        reach()

    return handling(handle, Reaching) if where == "handler" else Reaching


def handling(
    handle: Callable[[], Awaitable[None]], base: type[machines.ShopWorkload] = machines.ShopWorkload
) -> type[machines.ShopWorkload]:
    """A shop whose handler does this before it calls the outside world."""

    class Handling(base):  # type: ignore[misc,valid-type]
        def handlers(self, call: Callable[[Any, Any], Awaitable[Any]]) -> Handlers | None:
            handlers = Handlers()

            @handlers.on(machines.Ship)
            async def ship(action: machines.Ship, attempt: Any) -> Any:
                await handle()
                return await call(action, attempt)

            return handlers

    return Handling


@pytest.mark.parametrize("where", ["next_input", "perform", "handler"])
@pytest.mark.parametrize("what", REAL)
def test_reaching_for_something_real_is_a_violation_that_names_the_place(what: str, where: str) -> None:
    [violation] = simulate(workload(REAL[what], where), ops=5, faults="none").violations
    assert violation.invariant.startswith("OutsideSimulation: ")
    assert Path(__file__).name in violation.invariant


def test_a_connection_on_the_loop_is_one() -> None:
    async def connect() -> None:
        await asyncio.get_running_loop().create_connection(asyncio.Protocol, "localhost", 1)

    [violation] = simulate(handling(connect), ops=5, faults="none").violations
    assert violation.invariant.startswith("OutsideSimulation: loop.create_connection() is called at ")
    assert Path(__file__).name in violation.invariant


def test_sleeping_on_the_loop_costs_nothing() -> None:
    async def rest() -> None:
        await asyncio.sleep(100)

    result = simulate(handling(rest), ops=5, faults="none")
    assert result.held
    assert result.virtual_seconds > 100
