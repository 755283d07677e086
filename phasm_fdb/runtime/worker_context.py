"""What all parts of one worker share."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from phasm_fdb.runtime.calling import Caller
from phasm_fdb.runtime.capabilities import Capabilities
from phasm_fdb.runtime.supervisor import Supervisor
from phasm_fdb.runtime.telemetry import Telemetry
from phasm_fdb.runtime.transacting import Transactor
from phasm_fdb.transition.context import LayerContext


@dataclass(frozen=True, slots=True)
class WorkerContext:
    """What all parts of one worker share; nothing of it changes while the worker lives.

    Attributes:
        name: of the worker, for logs and for other workers.
        layer: the parts of the layer that it works for.
        transact: runs its transactions.
        caller: calls its handlers.
        clock: the time in seconds since the epoch.
        chance: the source of jitter.
        lease_seconds: after so long without a heartbeat others take its lanes.
        concurrency: how many handlers run at once.
        poll_seconds: how often each lane is looked at although its watch has not fired.
    """

    name: str
    layer: LayerContext
    transact: Transactor
    capabilities: Capabilities
    caller: Caller
    supervisor: Supervisor
    telemetry: Telemetry
    clock: Callable[[], float]
    chance: random.Random
    lease_seconds: float
    concurrency: int
    poll_seconds: float

    def now_ms(self) -> int:
        """The time in milliseconds since the epoch."""
        return int(self.clock() * 1000)
