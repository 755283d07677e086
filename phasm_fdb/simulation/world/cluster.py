"""What all simulated processes share: the loop, the database, the faults, the machine, and how they are made."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from phasm_fdb.layer import Layer
from phasm_fdb.machine import StateMachine
from phasm_fdb.simulation.choices import Choices
from phasm_fdb.simulation.faults import Faults
from phasm_fdb.simulation.settings import EPOCH, Settings, stream
from phasm_fdb.simulation.trace import Trace, column_of
from phasm_fdb.simulation.workload import Workload
from phasm_fdb.simulation.world.database import SimulatedDatabase, record_runs
from phasm_fdb.simulation.world.guarding import guarded
from phasm_fdb.simulation.world.inspector import SUBSPACE, Inspector, make_machine
from phasm_fdb.simulation.world.link import Link
from phasm_fdb.simulation.world.loop import SimulatedLoop
from phasm_fdb.simulation.world.outside import OutsideWorld
from phasm_fdb.simulation.world.process import Process, Processes
from phasm_fdb.simulation.world.server import Server

#: More processes than that are looked through for those that have ended.
MOST_REMEMBERED = 500


class Park:
    """The machine park of one run.

    Args:
        failed: told of what must not happen: the run is over then.

    Attributes:
        crashed: told of every crash.
    """

    def __init__(
        self,
        workload: Workload,
        settings: Settings,
        choices: Choices,
        loop: SimulatedLoop,
        server: Server,
        faults: Faults,
        inspector: Inspector,
        trace: Trace,
        failed: Callable[[BaseException], None],
    ) -> None:
        self.workload = workload
        self.settings = settings
        self.choices = choices
        self.loop = loop
        self.server = server
        self.faults = faults
        self.inspector = inspector
        self.trace = trace
        self.failed = failed
        self.crashed: Callable[[], None] = lambda: None
        self.processes = Processes(loop)
        self.world = OutsideWorld(workload, inspector.definition, settings.seed, loop, trace, faults, failed)
        self._chance = stream(settings.seed, "processes")
        self._processes: list[Process] = []
        server.died = self._lose_power

    def now(self) -> float:
        """The true time, in seconds since the epoch."""
        return EPOCH + self.loop.time()

    def process(self, name: str, died: Callable[[str], None] = lambda where: None) -> Process:
        """A new process; a name may have the number of its life behind a point."""

        def crashed(where: str) -> None:
            self.trace.note("crash", name.encode())
            self.trace.event(column_of(name), "crash", f"{name} dies {where}", worker=name)
            died(where)
            self.crashed()

        process = Process(self.loop, name, crashed)
        if len(self._processes) > MOST_REMEMBERED:
            self._processes = [one for one in self._processes if one.is_busy]
        self._processes.append(process)
        return process

    def _lose_power(self) -> None:
        """Everything dies at once."""
        for process in self._processes:
            if process.is_busy:
                process.crash("as the power fails")

    async def end(self) -> None:
        """End all processes."""
        for process in self._processes:
            process.end()
        for process in self._processes:
            await process.gone()

    def link(self, process: Process, who: str) -> Link:
        """A process's way to the store."""
        return Link(self.server, process, self.faults, who)

    def good_link(self, process: Process) -> Link:
        """One on which no fault happens."""
        return Link(self.server, process, Faults(self.choices, {}), process.name)

    def database(self, link: Link) -> SimulatedDatabase:
        """A process's database handle."""
        return SimulatedDatabase(link, self._new_chance())

    def layer(self, process: Process, machine: StateMachine | None = None) -> Layer:
        """A process's layer, with a machine of its own unless one is given."""

        def clock() -> float:
            return EPOCH + self.loop.time() + process.skew

        token_bytes = self._new_chance().randbytes
        options: dict[str, Any] = {"lanes": self.settings.lanes, "journal": self.settings.journal, "guard": "error"}
        if type(self.workload).layer_options is not Workload.layer_options:
            options |= guarded("layer_options", self.workload.layer_options, self._new_chance())
        layer = Layer(
            make_machine(self.workload) if machine is None else machine,
            SUBSPACE,
            clock=clock,
            monotonic=self.loop.time,
            token_bytes=token_bytes,
            **options,
        )
        record_runs(layer.context.definition, self.failed, self.workload.bugs)
        return layer

    def chance(self) -> random.Random:
        """Random numbers of their own for one process."""
        return self._new_chance()

    def _new_chance(self) -> random.Random:
        return random.Random(self._chance.getrandbits(64))

    def view(self) -> Any:
        """The machine's state now, to be read only."""
        return self.inspector.state()
