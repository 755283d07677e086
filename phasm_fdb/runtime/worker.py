"""The worker: runs a layer's tracked actions and timers, applies its inputs, and shares the lanes with others."""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from typing import Any

from phasm_fdb import migration
from phasm_fdb.layer import Layer
from phasm_fdb.runtime.applier import Applier
from phasm_fdb.runtime.calling import Caller
from phasm_fdb.runtime.capabilities import Capabilities
from phasm_fdb.runtime.dispatcher import Dispatcher
from phasm_fdb.runtime.handlers import Handlers
from phasm_fdb.runtime.keeper import BEATS_PER_LEASE, Keeper
from phasm_fdb.runtime.lanes import Lanes
from phasm_fdb.runtime.membership import Presence
from phasm_fdb.runtime.settler import Settler
from phasm_fdb.runtime.supervisor import Supervisor
from phasm_fdb.runtime.telemetry import Telemetry
from phasm_fdb.runtime.transacting import Transactor
from phasm_fdb.runtime.untracked import UntrackedQueue
from phasm_fdb.runtime.worker_context import WorkerContext

#: How often a worker sweeps expired receipts and the like.
SWEEP_SECONDS = 600.0

#: How long to wait at most before what the database has failed is tried again; a heartbeat waits no longer than for the
#: next one.
LONGEST_PAUSE_SECONDS = 1.0


class Worker:
    """Works for a layer: any number of workers, in any number of processes, share its lanes.

        async with Worker(db, wallets, handlers):
            ...                                     # or: await Worker(db, wallets, handlers).run()

    A worker that dies loses its lanes to the others after a lease time; one that is only slow, and finds that it has
    lost them, can do no harm: nothing that it did meanwhile is recorded. Errors of the database end no worker: it logs
    them, waits, and tries again.

    Args:
        db: the database that the layer lies in.
        layer: the layer.
        handlers: what runs the actions; types without a handler are left to other workers.
        name: how logs and other workers name this one.
        concurrency: how many handlers run at once.
        clock: the time in seconds since the epoch: results are stamped with it, timers fall due by it. Leases do
            not depend on it.
        chance: the source of jitter and of session names; the system's if left out.
        lease_seconds: after so long without a heartbeat others take this worker's lanes. All workers of a layer
            should be given the same.
        poll_seconds: how often to look at each lane although its watch has not fired: watches may be lost.
        executor: where plain handlers run; the event loop's own thread pool if left out.
        untracked_room: how many untracked actions may wait for their handlers; more are dropped and counted.

    Raises:
        HandlerError: a handler is registered for what is no action of the machine.
    """

    def __init__(
        self,
        db: Any,
        layer: Layer,
        handlers: Handlers,
        name: str | None = None,
        *,
        concurrency: int = 64,
        clock: Callable[[], float] = time.time,
        chance: random.Random | None = None,
        lease_seconds: float = 10.0,
        poll_seconds: float = 5.0,
        executor: Executor | None = None,
        untracked_room: int = 1_000,
    ) -> None:
        if concurrency < 1:
            raise ValueError(f"concurrency is {concurrency}, and must be at least 1")
        if lease_seconds <= 0 or poll_seconds <= 0:
            raise ValueError(f"lease_seconds is {lease_seconds}, poll_seconds {poll_seconds}: both must be positive")
        context = layer.context
        handlers.check(context.definition)
        chance = chance if chance is not None else random.Random(os.urandom(32))
        self.name = name or f"{context.definition.name}-worker-{os.getpid()}"
        self._layer = layer
        self._telemetry = Telemetry({"phasm.machine": context.definition.name, "phasm.worker": self.name})
        self._transact = Transactor(db, context, clock, self._telemetry)
        longest_pause = min(LONGEST_PAUSE_SECONDS, lease_seconds / BEATS_PER_LEASE)
        self._supervisor = Supervisor(self.name, chance, longest_pause)
        self._next_sweep = float("inf")
        self._stop = asyncio.Event()
        self._background: asyncio.Task[None] | None = None
        capabilities = Capabilities(context.definition, handlers)
        caller = Caller(context, clock, executor, self._telemetry)
        worker = WorkerContext(
            name=self.name,
            layer=context,
            transact=self._transact,
            capabilities=capabilities,
            caller=caller,
            supervisor=self._supervisor,
            telemetry=self._telemetry,
            clock=clock,
            chance=chance,
            lease_seconds=lease_seconds,
            concurrency=concurrency,
            poll_seconds=poll_seconds,
        )
        self._lanes = Lanes(worker)
        presence = Presence(0, self.name, tuple(sorted(capabilities.by_tag)), tuple(sorted(capabilities.inputs)))
        self._keeper = Keeper(worker, presence, lambda: chance.getrandbits(128).to_bytes(16, "big"), self._lanes)
        self._lanes.session = lambda: self._keeper.session
        self._untracked = UntrackedQueue(handlers, caller, self._telemetry, untracked_room, max(1, concurrency // 4))
        self._settler = Settler(worker, self._lanes, self._untracked, lambda tag: self._dispatcher.unblock(tag))
        applier = Applier(worker, self._lanes, self._untracked)
        self._dispatcher = Dispatcher(worker, self._lanes, self._keeper, self._settler, applier)

    # ------------------------------------------------------------------------------------------- running

    async def run(self) -> None:
        """Work until `stop` is called, which drains, or the task is cancelled, which does not.

        What a cancelled worker was doing is in doubt, as if it had died; others take its lanes after a lease time.

        Raises:
            KeyspaceError: the layer was upgraded beyond this worker's code, or is not this machine's.
            RestoreError: the machine cannot resume from its state.
        """
        try:
            self._supervisor.keep("migrating the state", self._migrate).add_done_callback(self._begin)
            with self._telemetry.lanes_watched(self._look_at_lanes):
                await self._supervisor.wait(self._stop)
                await self._drain()
        finally:
            self._lanes.close()
            await self._supervisor.cancel()

    def stop(self) -> None:
        """Start nothing more, and let `run` return when what runs has ended and the lanes are given back."""
        self._stop.set()

    async def __aenter__(self) -> Worker:
        self._background = asyncio.get_running_loop().create_task(self.run(), name=self.name)
        return self

    async def __aexit__(self, *exception: object) -> None:
        assert self._background is not None
        self.stop()
        await self._background

    async def _migrate(self) -> None:
        """Bring the state to this code's schema first, if it is older."""
        if await self._transact(migration.is_due):
            await self._transact.call(migration.migrate, self._layer.context)

    def _begin(self, migrated: asyncio.Task[None]) -> None:
        """Begin to work, once the state is at this code's schema."""
        if migrated.cancelled() or migrated.exception() is not None or self._stop.is_set():
            return
        self._next_sweep = asyncio.get_running_loop().time() + SWEEP_SECONDS
        for what, work in (
            ("keeping its place", self._keeper.run),
            ("recording results", self._settler.run),
            ("looking for work", self._dispatcher.run),
            ("sweeping", self._sweep),
        ):
            self._supervisor.keep(what, work)
        self._supervisor.spawn(self._untracked.run(), f"{self.name}: untracked actions")

    async def _drain(self) -> None:
        self._dispatcher.is_stopped = self._keeper.leaving = True
        while not self._lanes.are_idle or self._settler.backlog:
            self._lanes.changed.clear()
            await self._supervisor.wait(self._lanes.changed)
        await self._untracked.drain()
        await self._supervisor.until_done("giving its lanes back", self._keeper.leave)

    async def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(max(0.0, self._next_sweep - loop.time()))
            await self._transact.call(self._sweep_once)
            self._next_sweep = loop.time() + SWEEP_SECONDS

    def _sweep_once(self, db: Any) -> None:
        self._layer.sweep(db)

    # ------------------------------------------------------------------------------------------ observing

    @property
    def counts(self) -> dict[str, int]:
        """What this worker has counted so far, by name; see `phasm_fdb.runtime.telemetry.COUNTERS`."""
        return dict(self._telemetry.counts)

    @property
    def lanes(self) -> tuple[int, ...]:
        """The lanes that this worker holds now."""
        return tuple(sorted(self._lanes.held()))

    def _look_at_lanes(self) -> Iterable[tuple[int, int, float]]:
        """Of each held lane: how many actions are loaded or run, and how old the oldest of them is."""
        try:
            now = asyncio.get_running_loop().time()
        except RuntimeError:  # the SDK may ask from a thread of its own
            now = time.monotonic()
        for lane in self._lanes:
            yield lane.lease.lane, lane.window.loaded + len(lane.running), lane.age_of_oldest(now)
