"""Apps for other processes whose handlers take longer than anybody waits: in a thread, on the loop, and without it."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import Any

from phasm_fdb.runtime import App, Attempt, Handlers
from tests.runtime.machines import Job
from tests.runtime.program import layer

SECONDS = 600.0


def begun() -> None:
    Path(os.environ["PHASM_TEST_CALLS"]).touch()


in_a_thread, on_the_loop, waiting_for_it = Handlers(), Handlers(), Handlers()


@in_a_thread.on(Job)
def sleep_in_a_thread(action: Any, attempt: Attempt) -> None:
    begun()
    time.sleep(SECONDS)


@on_the_loop.on(Job)
async def block_the_loop(action: Any, attempt: Attempt) -> None:
    begun()
    time.sleep(SECONDS)


@waiting_for_it.on(Job)
async def hold_out(action: Any, attempt: Attempt) -> None:
    begun()
    while True:
        try:
            await asyncio.sleep(SECONDS)
        except asyncio.CancelledError:
            continue


plain = App(layer, in_a_thread)
blocking = App(layer, on_the_loop)
waiting = App(layer, waiting_for_it)
