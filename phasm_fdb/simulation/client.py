"""A simulated client: sends one input after the other, each under a request id, until it has an answer.

A client's process may die while it waits; another goes on for it with the same request id, as a user who presses the
button again, or a queue that delivers again.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from phasm_fdb.database import aio
from phasm_fdb.database.transactional import error_code
from phasm_fdb.errors import InvariantViolation, TransitionError
from phasm_fdb.layer import Layer
from phasm_fdb.receipts import Applied
from phasm_fdb.simulation.choices import Site
from phasm_fdb.simulation.database import SimulatedDatabase
from phasm_fdb.simulation.link import Link
from phasm_fdb.simulation.park import Park
from phasm_fdb.simulation.process import Process
from phasm_fdb.simulation.settings import APPLY, SUBMIT

#: How long a client waits before it tries again after an error.
RETRY_SECONDS = 0.5

_KINDS = ("request repeated", "request elsewhere", "client crash")


@dataclass(frozen=True, slots=True)
class Operation:
    """One input of one client.

    Attributes:
        number: of the operation; it is the request id too.
        at: when it is sent, in seconds of the run.
        mode: "apply", "submit" or "call".
        leaves: it is not sent: the client finds that the run has enough of them.
    """

    number: int
    at: float
    mode: str
    leaves: bool = False

    @property
    def who(self) -> str:
        """How choices name who executes it."""
        return f"op {self.number}"


@dataclass(slots=True)
class Seat:
    """A process of a client, with its memory."""

    process: Process
    link: Link
    database: SimulatedDatabase
    layer: Layer


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of an operation: what was applied, or why nothing was."""

    applied: Applied | None = None
    refused: TransitionError | None = None

    @property
    def is_applied(self) -> bool:
        return self.applied is not None


class Client:
    """One client, and the other process that asks for the same where a fault wants it."""

    def __init__(self, park: Park, number: int) -> None:
        self._park = park
        self.name = f"client {number}"
        self._sites: dict[str, Site | None] = {}
        self._seat: Seat | None = None
        self._seats = 0

    async def execute(self, operation: Operation, payload: Any) -> Outcome:
        """Send an input until its outcome is known."""
        self._begin(operation)
        event = self._announce(operation, payload)
        dies_after = self._decide("client crash")
        if self._decide("request repeated") is not None:
            outcome = await self._twice(operation, payload, dies_after)
        else:
            outcome = await self._until_known(operation, payload, dies_after)
        self._tell(operation, outcome, event)
        if outcome.is_applied and self._decide("request elsewhere") is not None:
            again = await self._until_known(operation, payload, None, self._new_seat(operation))
            self._compare(operation, outcome, again)
        return outcome

    # ------------------------------------------------------------------------------------------ sending

    async def _until_known(
        self, operation: Operation, payload: Any, dies_after: float | None, seat: Seat | None = None
    ) -> Outcome:
        """Send the input, again and again through new processes if need be."""
        seat = seat if seat is not None else self._current_seat(operation)
        while True:
            task = seat.process.spawn(self._send(seat, operation, payload), operation.who)
            if dies_after is not None:
                await asyncio.wait([task], timeout=dies_after)
                if not task.done():
                    seat.process.crash("while it waits")
                dies_after = None
            await asyncio.wait([task])
            if not seat.process.is_dead and not task.cancelled():
                error = task.exception()
                if error is None:
                    return task.result()
                if error_code(error) is None:
                    raise error
                self._park.trace.note(f"client error {error_code(error)}")
            await seat.process.gone()
            await asyncio.sleep(RETRY_SECONDS)
            seat = self._new_seat(operation)

    async def _send(self, seat: Seat, operation: Operation, payload: Any) -> Outcome:
        layer, db = seat.layer, seat.database
        key = self._park.workload.ordering_key(payload)
        try:
            if operation.mode == APPLY:
                return Outcome(await aio.run(layer.apply, db, payload, operation.number))
            if operation.mode == SUBMIT:
                await aio.run(layer.submit, db, payload, operation.number, key)
                return Outcome(await layer.outcome(db, operation.number))
            return Outcome(await layer.call(db, payload, operation.number, key))
        except TransitionError as refused:
            return Outcome(refused=refused)

    async def _twice(self, operation: Operation, payload: Any, dies_after: float | None) -> Outcome:
        """Send the input through two processes at once."""
        self._park.trace.note("repeated", operation.who.encode())
        other = self._new_seat(operation)
        first, second = await asyncio.gather(
            self._until_known(operation, payload, dies_after),
            self._until_known(operation, payload, None, other),
        )
        if first.is_applied and second.is_applied:
            self._compare(operation, first, second)
        return first if first.is_applied else second

    def _compare(self, operation: Operation, first: Outcome, second: Outcome) -> None:
        """Two answers to one request are the same, and its untracked actions are handed out once."""
        one, two = first.applied, second.applied
        assert one is not None and two is not None
        if (one.reply, one.tracked) != (two.reply, two.tracked) or (one.untracked and two.untracked):
            raise InvariantViolation(
                f"exactly once: request {operation.number} was answered twice, with {one} and with {two}"
            )

    # ----------------------------------------------------------------------------------------- processes

    def _begin(self, operation: Operation) -> None:
        if not self._sites or self._park.faults.is_played:
            self._sites = {kind: self._park.faults.site(operation.who, kind) for kind in _KINDS}
        else:
            for site in self._sites.values():
                if site is not None:
                    site.begin(operation.who)
        self._seats = 0
        if self._seat is not None and not self._seat.process.is_dead:
            self._seats = 1
            self._seat.link.begin(operation.who)

    def _decide(self, kind: str) -> Any:
        site = self._sites.get(kind)
        return None if site is None else site.decide()

    def _current_seat(self, operation: Operation) -> Seat:
        if self._seat is None or self._seat.process.is_dead:
            self._seat = self._new_seat(operation)
        return self._seat

    def _new_seat(self, operation: Operation) -> Seat:
        """A process of its own; its decisions are told from those of the operation's other processes."""
        park = self._park
        self._seats += 1
        process = park.process(self.name)
        link = park.link(process, operation.who if self._seats == 1 else f"{operation.who}.{self._seats}")
        return Seat(process, link, park.database(link), park.layer(process))

    # --------------------------------------------------------------------------------------------- trace

    def _announce(self, operation: Operation, payload: Any) -> int | None:
        trace = self._park.trace
        if trace.events is None:
            return None
        return trace.event(
            *(self.name, "input", f"{operation.who}: {operation.mode} {payload!r}"),
            operation=operation.number,
            request=operation.number,
            payload=payload,
        )

    def _tell(self, operation: Operation, outcome: Outcome, cause: int | None) -> None:
        trace = self._park.trace
        trace.note("refused" if outcome.applied is None else "applied", operation.who.encode())
        if trace.events is None:
            return
        if outcome.applied is not None:
            applied = outcome.applied
            trace.event(
                *(self.name, "reply", f"{operation.who}: {applied.reply!r}", cause),
                operation=operation.number,
                reply=applied.reply,
            )
        else:
            trace.event(
                *(self.name, "refused", f"{operation.who}: {outcome.refused!r}", cause),
                operation=operation.number,
                error=str(outcome.refused),
            )
