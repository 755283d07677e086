"""A machine that runs a worker, and starts it again with fresh memory whenever it dies."""

from __future__ import annotations

import asyncio
import inspect

from phasm_fdb.actions import Actions
from phasm_fdb.database.transactional import error_code
from phasm_fdb.errors import InvariantViolation
from phasm_fdb.layer import Layer
from phasm_fdb.machine import StateMachine
from phasm_fdb.runtime import Worker
from phasm_fdb.simulation.choices import Site, Value
from phasm_fdb.simulation.world.cluster import Park
from phasm_fdb.simulation.world.inspector import make_machine
from phasm_fdb.simulation.world.process import Process
from phasm_fdb.state import State

#: How long a dead worker takes to start again.
RESTART_SECONDS = 1.0
#: How often it is decided whether a worker dies, is paused, or has its clock set.
TROUBLE_SECONDS = 1.0

_KINDS = ("crash", "pause", "clock step", "clock skew", "clock jump", "old version")


class Host:
    """One host.

    Args:
        number: of the host, from 1; its worker is named after it.
    """

    def __init__(self, park: Park, number: int) -> None:
        self._park = park
        self.name = f"worker {number}"
        self._sites: dict[str, Site | None] = {}
        self._lives = 0
        self._process: Process | None = None
        self._skew = 0.0
        self._resume: asyncio.Event | None = None
        self._is_old = False
        self._has_jumped = False
        self.worker: Worker | None = None

    @property
    def skew(self) -> float:
        """Seconds by which its clock is ahead of the true time."""
        return self._skew

    async def run(self) -> None:
        """Keep a worker running, for ever."""
        self._sites = {kind: self._park.faults.site(self.name, kind) for kind in _KINDS}
        self._skew = float(self._decide("clock skew") or 0.0)
        while True:
            await self._live()
            await asyncio.sleep(RESTART_SECONDS)

    async def make_trouble(self) -> None:
        """Once a second decide whether something happens to the worker."""
        while not self._park.faults.have_stopped and any(self._sites.values()):
            await asyncio.sleep(TROUBLE_SECONDS)
            process = self._process
            if process is None or process.is_dead:
                continue
            if self._decide("crash") is not None:
                process.crash("all of a sudden")
                continue
            for kind in ("clock step", "clock jump"):
                step = self._decide(kind)
                if step is not None:
                    self._skew = process.skew = float(step)
                    self._has_jumped |= kind == "clock jump"
            pause = self._decide("pause")
            if pause is not None:
                await self._pause(process, float(pause))

    def calm_down(self) -> None:
        """Faults have stopped: a paused worker goes on, an older version is replaced, a clock that jumped is set."""
        if self._has_jumped:
            self._skew = 0.0
            if self._process is not None:
                self._process.skew = 0.0
        if self._resume is not None:
            self._resume.set()
        if self._is_old and self._process is not None:
            self._process.crash("to be upgraded")

    # ------------------------------------------------------------------------------------------- one life

    async def _live(self) -> None:
        park = self._park
        self._lives += 1
        who = self.name if self._lives == 1 else f"{self.name}.{self._lives}"
        process = self._process = park.process(who)
        process.skew = self._skew
        machine, without = self._version()
        layer = park.layer(process, machine)
        self._let_restore_crash(layer, process, who)
        link = park.link(process, who)
        settings = park.settings
        park.trace.note("restart", who.encode())
        park.trace.event(self.name, "restart", f"{who} starts", worker=self.name, machine=type(layer.machine).__name__)
        self.worker = Worker(
            park.database(link),
            layer,
            park.world.handlers(process, who, layer.context.definition, without),
            who,
            concurrency=settings.concurrency,
            clock=lambda: park.now() + process.skew,
            chance=park.chance(),
            lease_seconds=settings.lease_seconds,
            poll_seconds=settings.poll_seconds,
        )
        task = process.spawn(self.worker.run(), who)
        await asyncio.wait([task])
        await process.gone()
        if process.is_dead or task.cancelled():
            return
        error = task.exception()
        if error is not None and error_code(error) is not None:
            error = InvariantViolation(f"workers go on: {who} ended with an error of the database: {error!r}")
        if error is not None:
            park.failed(error)

    def _version(self) -> tuple[StateMachine | None, int | None]:
        """The machine of this life, and which handler it lacks, if it is an older version."""
        old = self._decide("old version")
        self._is_old = old is not None
        if old is None:
            return None, None
        if inspect.getattr_static(self._park.workload, "old_machine", None) is not None:
            return make_machine(self._park.workload, "old_machine"), None
        return None, int(old)

    def _let_restore_crash(self, layer: Layer, process: Process, who: str) -> None:
        site = self._park.faults.site(who, "crash in restore")
        if site is None:
            return
        definition = layer.context.definition
        restore = definition.restore

        def crashing(state: State, actions: Actions) -> None:
            restore(state, actions)
            if site.decide() is not None:
                process.crash("within restore")
                raise asyncio.CancelledError("the process has died")

        definition.restore = crashing  # type: ignore[method-assign]

    # ------------------------------------------------------------------------------------------ trouble

    def _decide(self, kind: str) -> Value | None:
        site = self._sites.get(kind)
        return None if site is None else site.decide()

    async def _pause(self, process: Process, seconds: float) -> None:
        """Stop the worker for a while; it knows nothing of it."""
        trace = self._park.trace
        trace.note("pause", self.name.encode())
        trace.event(self.name, "pause", f"{self.name} is paused for {seconds} s", worker=self.name, seconds=seconds)
        process.pause()
        self._park.processes.watch_pauses(True)
        self._resume = asyncio.Event()
        try:
            async with asyncio.timeout(seconds):
                await self._resume.wait()
        except TimeoutError:
            pass
        process.resume()
        trace.event(self.name, "resume", f"{self.name} goes on", worker=self.name)
