"""A worker process: python -m tests.crash.worker URL FOLDER NAME."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path
from typing import Any

from phasm_fdb import Handlers, Worker
from phasm_fdb.runtime import Attempt, Limit, Retry
from tests.crash.scene import LEASE_SECONDS, Scene
from tests.simulation.torture.steps import Act, Done, Whispered


def handlers_of(scene: Scene) -> Handlers:
    """Handlers that fail and dawdle as chance has it, and log every call."""
    handlers, rng = Handlers(), scene.rng

    @handlers.on(Act, retry=Retry(max_attempts=8, first_delay=0.05, max_delay=1.0), limit=Limit(concurrency=40))
    async def act(action: Act, attempt: Attempt) -> Done:
        scene.log("call", action.token, attempt.idempotency_key, attempt.number)
        if rng.random() < 0.3:
            await asyncio.sleep(rng.uniform(0, 0.1))
        if rng.random() < 0.1:
            raise ConnectionError("the world is down")
        return Done(action.token, action.then)

    @handlers.on(Whispered)
    async def whispered(action: Whispered, attempt: Attempt) -> None:
        scene.log("whispered", action.token)

    return handlers


async def work(scene: Scene, db: Any) -> None:
    """Run until SIGTERM."""
    worker = Worker(
        db,
        scene.layer(),
        handlers_of(scene),
        scene.name,
        lease_seconds=LEASE_SECONDS,
        clock=scene.clock,
        concurrency=20,
    )
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, worker.stop)
    await worker.run()


if __name__ == "__main__":
    here = Scene(sys.argv[1], Path(sys.argv[2]), sys.argv[3])
    database = here.open()
    asyncio.run(work(here, database))
    database.close()
