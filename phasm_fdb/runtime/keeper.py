"""Keeping a worker's place among the others: its heartbeat, its share of the lanes, and the burial of dead workers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Protocol

from phasm_fdb import resizing
from phasm_fdb.lease import Lease
from phasm_fdb.runtime import membership
from phasm_fdb.runtime.membership import Evicted, Presence, Survey
from phasm_fdb.runtime.observer import Observer
from phasm_fdb.runtime.sharing import plan
from phasm_fdb.runtime.worker_context import WorkerContext

logger = logging.getLogger("phasm_fdb.worker")

#: How many heartbeats fit into a lease time: so many may be late before others take the lanes.
BEATS_PER_LEASE = 4


class Holder(Protocol):
    """Who works on the lanes that the keeper keeps."""

    def held(self) -> dict[int, Lease]:
        """The leases of the lanes that are worked on."""

    def gained(self, leases: list[Lease]) -> None:
        """These lanes are held from now on."""

    def lost(self, lane: int) -> None:
        """This lane is held no more: stop what is done for it."""

    def give_back(self, count: int, survey: Survey) -> None:
        """Begin to hand over so many lanes, and those that hold what others know and this worker does not."""


class Keeper:
    """One worker's membership.

    Args:
        session: makes a new, unique session.
    """

    def __init__(
        self,
        worker: WorkerContext,
        presence: Presence,
        session: Callable[[], bytes],
        holder: Holder,
    ) -> None:
        self._worker = worker
        self._transact = worker.transact
        self._presence = presence
        self._new_session = session
        self._lease_seconds = worker.lease_seconds
        self._holder = holder
        self._observer = Observer(worker.lease_seconds)
        self._good_until = float("-inf")
        self._is_in = False
        self.session = session()
        self.leaving = False

    @property
    def is_good(self) -> bool:
        """Whether no other worker can have judged this one dead yet, by its own clock."""
        return asyncio.get_running_loop().time() < self._good_until

    async def run(self) -> None:
        """Keep the membership until cancelled; begun again, it goes on where it was.

        Raises:
            KeyspaceError: the layer was upgraded beyond this worker's code.
        """
        while True:
            try:
                if not self._is_in:
                    await self._enter()
                await self._round()
            except Evicted:
                self._start_anew()
            else:
                await asyncio.sleep(self._lease_seconds / BEATS_PER_LEASE)

    async def leave(self) -> None:
        """Give back all that is held, at once; not if others may have judged this worker dead, and need not be told."""
        if not self.is_good:
            return
        leases = list(self._holder.held().values())
        await self._transact(membership.leave, self.session, leases)

    async def _enter(self) -> None:
        begun = asyncio.get_running_loop().time()
        await self._transact(membership.enter, self.session, self._presence)
        self._good_until = begun + self._lease_seconds
        self._is_in = True

    def _start_anew(self) -> None:
        """Give up what was held under the old session, and go on under another."""
        logger.warning("judged dead by another worker, starting anew", extra=self._fields())
        for lane in list(self._holder.held()):
            self._holder.lost(lane)
        self._is_in = False
        self.session = self._new_session()

    async def _round(self) -> None:
        """One heartbeat, and what follows from what was seen."""
        survey = await self._beat()
        await self._evict_dead(survey)
        for lane, lease in self._holder.held().items():
            if survey.lease(lane) != lease:
                self._holder.lost(lane)
        if survey.resizing:
            await self._resize()
        if self.leaving:
            return
        wanted = plan(survey, self.session, self._holder.held())
        if wanted.claim:
            await self._claim(survey, wanted.claim)
        self._holder.give_back(wanted.surplus, survey)

    async def _beat(self) -> Survey:
        begun = asyncio.get_running_loop().time()
        self._presence = self._presence.next()
        survey: Survey = await self._transact(membership.beat, self.session, self._presence)
        self._good_until = begun + self._lease_seconds
        survey.workers[self.session] = self._presence.encode()
        return survey

    async def _evict_dead(self, survey: Survey) -> None:
        dead = self._observer.dead(survey.workers, asyncio.get_running_loop().time())
        dead.pop(self.session, None)
        if not dead:
            return
        evicted = await self._transact(membership.evict, dead)
        for session in evicted:
            row = survey.workers.pop(session)
            logger.warning("worker %s is dead", Presence.decode(row).name, extra=self._fields())

    async def _claim(self, survey: Survey, lanes: tuple[int, ...]) -> None:
        leases: list[Lease] = await self._transact(membership.claim, self.session, lanes)
        self._worker.telemetry.count("leases.claimed", len(leases))
        left_by_dead = [one for one in leases if survey.lease(one.lane).owner not in (None, self.session)]
        self._worker.telemetry.count("leases.takeovers", len(left_by_dead))
        if leases:
            self._holder.gained(leases)

    async def _resize(self) -> None:
        """Do what `Layer.resize` wished for, once no worker holds a lane any more."""
        if not self._holder.held():
            await self._transact.call(resizing.carry_out, self._worker.layer)

    def _fields(self) -> dict[str, Any]:
        return {
            "worker": self._presence.name,
            "session": self.session.hex(),
            "machine": self._worker.layer.definition.name,
        }
