"""The lanes that a worker holds: taken over, worked on, handed over."""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Callable, Iterator
from typing import Any

from phasm_fdb.errors import NewerValue, StaleLease
from phasm_fdb.lease import Lease
from phasm_fdb.runtime.lane import Lane
from phasm_fdb.runtime.membership import Presence, Survey, hand_over
from phasm_fdb.runtime.takeover import take_over
from phasm_fdb.runtime.worker_context import WorkerContext

logger = logging.getLogger("phasm_fdb.worker")

#: For how many lease times a lane that could not be emptied is not chosen to be handed over again.
RELUCTANCE = 10
#: Stands among the types that a worker does not know for state that `restore` cannot read.
_RESTORE = "restore"


class Lanes:
    """All held lanes. Whoever changes something that others may wait for sets `wake`.

    Attributes:
        session: gives the name under which the worker holds its lanes now.
        wake: there may be something to do.
        changed: a lane may have become idle.
    """

    def __init__(self, worker: WorkerContext) -> None:
        self._worker = worker
        self._lanes: dict[int, Lane] = {}
        self._said: set[str] = set()
        self.session: Callable[[], bytes] = bytes
        self.wake = asyncio.Event()
        self.changed = asyncio.Event()

    def __iter__(self) -> Iterator[Lane]:
        return iter(list(self._lanes.values()))

    def of(self, lease: Lease) -> Lane | None:
        """The lane that is held under this lease, if it still is."""
        lane = self._lanes.get(lease.lane)
        return lane if lane is not None and lane.lease == lease else None

    def runs(self, stamp: bytes) -> bool:
        """Whether the action in the row of this versionstamp (12 bytes) is in the works."""
        return any(work.row.endswith(stamp) for lane in self for work in lane.running)

    @property
    def are_idle(self) -> bool:
        """Whether nothing of any lane is in the works."""
        return all(lane.is_idle for lane in self)

    def tell(self) -> None:
        """Something has changed: whoever waits may look."""
        self.wake.set()
        self.changed.set()

    def close(self) -> None:
        """Stop everything that is done for any lane."""
        for lane in self:
            lane.close()
        self._lanes.clear()

    # -------------------------------------------------------------------------------- what the keeper asks

    def held(self) -> dict[int, Lease]:
        return {number: lane.lease for number, lane in self._lanes.items()}

    def gained(self, leases: list[Lease]) -> None:
        for lease in leases:
            capabilities = self._worker.capabilities
            lane = Lane(lease, self._worker.layer.keyspace, capabilities.is_limited, capabilities.knows)
            self._lanes[lease.lane] = lane
            self._worker.supervisor.keep(f"taking lane {lease.lane} over", functools.partial(self._open, lane))

    def lost(self, lane: int) -> None:
        gone = self._lanes.pop(lane, None)
        if gone is not None:
            gone.close()
            self.tell()

    def _drop(self, lane: Lane) -> None:
        """Stop what is done for a lane that is held no more, unless it is held anew since."""
        if self.of(lane.lease) is lane:
            self.lost(lane.lease.lane)

    def give_back(self, count: int, survey: Survey) -> None:
        now = asyncio.get_running_loop().time()
        self._give_to_those_who_know(survey, now)
        draining = [lane for lane in self if lane.draining_since is not None]
        if not survey.resizing:
            for lane in draining:
                self._reconsider(lane, now)
        candidates = [lane for lane in self if lane.draining_since is None]
        candidates.sort(key=lambda lane: (lane.reluctant_until > now, len(lane.running)))
        for lane in candidates[: max(0, count - len(draining))]:
            self._drain(lane, None, now)

    async def _open(self, lane: Lane) -> None:
        """Resolve what is in doubt, and begin."""
        while self.of(lane.lease) is lane and not lane.is_open:
            try:
                doubtful = await self._worker.transact(take_over, lane.lease)
            except StaleLease:
                self._drop(lane)
            except NewerValue as newer:
                self._leave_to_newer_code(lane, newer)
                await asyncio.sleep(self._worker.lease_seconds)
            else:
                if doubtful:
                    logger.info("%d actions were in doubt", doubtful, extra=self._fields(lane))
                lane.is_open, lane.waits_since = True, None
                self.tell()

    def _leave_to_newer_code(self, lane: Lane, newer: NewerValue) -> None:
        """Note that `restore` needs newer code: nothing of the lane is started until it has said how to go on."""
        if lane.waits_since is None:
            lane.waits_since = asyncio.get_running_loop().time()
        if _RESTORE not in self._said:
            self._said.add(_RESTORE)
            logger.warning(
                "`restore` came upon state in a newer form, and the lane waits until this worker can read that, or "
                "another takes the lane; said once: %s",
                newer,
                extra=self._fields(lane),
            )

    # ---------------------------------------------------------------------------------------- handing over

    def _give_to_those_who_know(self, survey: Survey, now: float) -> None:
        """Drain each lane that holds types which this worker does not know and another does, to that other.

        Nobody says which state he can read. So a lane that could not be taken over for a lease time goes to the next
        worker, in a circle.
        """
        for lane in self:
            self._say_unknown(lane)
            if lane.draining_since is None:
                heir = self._heir(lane, survey, now)
                if heir is not None:
                    self._drain(lane, heir, now)

    def _heir(self, lane: Lane, survey: Survey, now: float) -> bytes | None:
        """The worker that is to have a lane in place of this one; None if it stays."""
        if lane.window.unknown or lane.unknown_inputs:
            return self._who_knows(lane, survey)
        if lane.waits_since is not None and now - lane.waits_since >= self._worker.lease_seconds:
            return self._next_worker(survey)
        return None

    def _next_worker(self, survey: Survey) -> bytes | None:
        """The worker behind this one, in a circle of all; None if there is no other."""
        own = self.session()
        others = sorted(session for session in survey.workers if session != own)
        return next((session for session in others if session > own), others[0] if others else None)

    def _who_knows(self, lane: Lane, survey: Survey) -> bytes | None:
        for session, row in sorted(survey.workers.items()):
            presence = Presence.decode(row)
            knows = lane.window.unknown & set(presence.actions) or lane.unknown_inputs & set(presence.inputs)
            if session != self.session() and knows:
                return session
        return None

    def _say_unknown(self, lane: Lane) -> None:
        for tag in sorted((lane.window.unknown | lane.unknown_inputs) - self._said):
            self._said.add(tag)
            logger.warning(
                "this worker has no code for %s, and leaves it to others; said once", tag, extra=self._fields(lane)
            )

    def _drain(self, lane: Lane, heir: bytes | None, now: float) -> None:
        lane.draining_since, lane.heir = now, heir
        self._worker.supervisor.keep(f"handing lane {lane.lease.lane} over", functools.partial(self._hand_over, lane))

    async def _hand_over(self, lane: Lane) -> None:
        """Wait until nothing of the lane is in the works, and give it away."""
        while lane.draining_since is not None and self.of(lane.lease) is lane:
            if lane.is_idle:
                await self._worker.transact(hand_over, lane.lease, lane.heir)
                self._drop(lane)
                return
            self.changed.clear()
            await self.changed.wait()

    def _reconsider(self, lane: Lane, now: float) -> None:
        """Keep a lane that cannot be emptied in time: those behind a slow action should not have to wait for it."""
        assert lane.draining_since is not None
        if now - lane.draining_since >= self._worker.lease_seconds and not lane.is_idle:
            lane.draining_since = lane.heir = None
            lane.reluctant_until = now + RELUCTANCE * self._worker.lease_seconds
            lane.dirty = True
            self.tell()

    def _fields(self, lane: Lane) -> dict[str, Any]:
        return {"worker": self._worker.name, "lane": lane.lease.lane, "machine": self._worker.layer.definition.name}
