"""Opening a database in memory."""

from __future__ import annotations

import random as random_module
import time
from collections.abc import Callable

from phasm_fdb.embedded.database import Database
from phasm_fdb.embedded.memory_store import MemoryStore
from phasm_fdb.embedded.timing import CallLater, call_in_thread


def open_memory(
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
    random: Callable[[], float] = random_module.random,
    call_later: CallLater = call_in_thread,
) -> Database:
    """A new, empty database in this process's memory.

    Nothing else in it knows of time or chance, so with all four given it does the same every time.

    Args:
        clock: seconds, never going back. Versions, the five-second window and timeouts follow it.
        sleep: blocks until the clock has moved on so many seconds; called to wait for a retry's delay.
        random: a number from 0 up to 1; makes the delays of retries.
        call_later: `call_later(seconds, callback)`; used where somebody wants to be called, not to block.
    """
    return Database(MemoryStore(clock), clock=clock, sleep=sleep, random=random, call_later=call_later)
