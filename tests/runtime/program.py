"""An app for other processes: jobs whose outside world appends every call to a file."""

from __future__ import annotations

import asyncio
import os
import random
import time
from typing import Any

from phasm_fdb import Layer
from phasm_fdb.runtime import App, Attempt, Handlers, Retry
from tests.runtime.machines import CheckJob, Done, Job, Jobs

layer = Layer(Jobs(), ("jobs",), lanes=8)
handlers = Handlers()


def record(*fields: object) -> None:
    """Append a line to the file that PHASM_TEST_CALLS names; short appends do not mix."""
    path = os.environ["PHASM_TEST_CALLS"]
    line = " ".join(map(str, (time.monotonic_ns(), *fields))) + "\n"
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(file, line.encode())
    finally:
        os.close(file)


@handlers.on(Job, CheckJob, retry=Retry(first_delay=0.05, max_delay=0.5))
async def job(action: Any, attempt: Attempt) -> Done:
    record("begin", os.getpid(), action.id, attempt.number, attempt.idempotency_key)
    await asyncio.sleep(random.random() * 0.02)
    if random.random() < 0.02:
        raise OSError("the outside world failed")
    record("end", os.getpid(), action.id, attempt.number, attempt.idempotency_key)
    return Done(str(action.id))


app = App(layer, handlers, {"lease_seconds": 2.0, "poll_seconds": 1.0, "concurrency": 8})
