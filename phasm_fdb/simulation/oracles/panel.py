"""All oracles of a run, asked one after the other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from phasm_fdb.receipts import Applied
from phasm_fdb.simulation.oracles.fencing import Fencing
from phasm_fdb.simulation.oracles.inputs import DeadInputs, Requests
from phasm_fdb.simulation.oracles.kept_results import KeptResults
from phasm_fdb.simulation.oracles.machine import Invariants, Restoring, Told
from phasm_fdb.simulation.oracles.oracle import Oracle
from phasm_fdb.simulation.oracles.order import Order
from phasm_fdb.simulation.oracles.pending import Pending
from phasm_fdb.simulation.oracles.rows import Leftovers, Stored
from phasm_fdb.simulation.oracles.serial import Journaled, Serial
from phasm_fdb.simulation.settings import Settings
from phasm_fdb.simulation.trace import Trace
from phasm_fdb.simulation.workload import Workload
from phasm_fdb.simulation.world.commit import Commit
from phasm_fdb.simulation.world.inspector import Inspector
from phasm_fdb.simulation.world.process import Process

#: How often in a run everything is looked at, beside the end and what crashes bring about.
FULL_LOOKS = 10
LEAST_COMMITS_BETWEEN = 20


class Oracles:
    """The oracles.

    Args:
        workload: whose run it is.
        clock: the time in seconds since the epoch.
        settings: of the run.
        counted: told of every commit first.
    """

    def __init__(
        self,
        inspector: Inspector,
        trace: Trace,
        workload: Workload,
        clock: Callable[[], float],
        settings: Settings,
        counted: Callable[[Commit], None],
    ) -> None:
        self._counted = counted
        self._every = max(1, settings.ops // FULL_LOOKS)
        self._since = 0
        self.all: tuple[Oracle, ...] = (
            Told(inspector, workload),
            *(() if workload.bugs else (DeadInputs(inspector),)),
            Requests(inspector),
            Pending(inspector, trace),
            KeptResults(inspector),
            Fencing(inspector),
            Order(inspector),
            Invariants(inspector),
            Stored(inspector),
            Serial(inspector),
            Restoring(inspector, workload.restores_all),
            *((Journaled(inspector),) if settings.journal else ()),
            Leftovers(inspector, workload, clock),
        )

    def committed(self, commit: Commit) -> None:
        """A transaction was committed."""
        self._counted(commit)
        for oracle in self.all:
            oracle.committed(commit)
        self._since += bool(commit.runs)
        if self._since >= self._every:
            self.look()

    def look(self) -> None:
        """Look at everything."""
        self._since = 0
        for oracle in self.all:
            oracle.now_and_then()

    def crashed(self) -> None:
        """A process died: look at everything, unless that was done just before."""
        if self._since >= LEAST_COMMITS_BETWEEN:
            self.look()

    def called(self, process: Process, packed_id: bytes, idempotency_key: str) -> None:
        """A worker begins an outside call."""
        for oracle in self.all:
            oracle.called(process, packed_id, idempotency_key)

    def answered(self, request: Any, applied: Applied | None, refused: Exception | None) -> None:
        """A client has the outcome of its request."""
        for oracle in self.all:
            oracle.answered(request, applied, refused)

    def at_rest(self) -> None:
        """Nothing is pending any more."""
        for oracle in self.all:
            oracle.at_rest()
