"""The simulated clients of a layer, and the callbacks that deliver a result once more.

A client sends one input after the other, each under a request id, until it has an answer. Its process may die while it
waits; another goes on for it with the same request id, as a user who presses the button again, or a queue that delivers
again. A result may come by another way than the worker: by a provider's callback, or a queue that delivers twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from fdb.tuple import Versionstamp

from phasm_fdb.database import aio
from phasm_fdb.database.transactional import error_code, run
from phasm_fdb.error_codes import PROCESS_BEHIND
from phasm_fdb.errors import DatabaseError, FDBError, InputFailed, InvariantViolation, StaleCompletion, TransitionError
from phasm_fdb.keys import pack_element
from phasm_fdb.layer import Layer
from phasm_fdb.receipts import Applied
from phasm_fdb.simulation.choices import Site
from phasm_fdb.simulation.program import Operation
from phasm_fdb.simulation.settings import APPLY, SUBMIT, TOGETHER
from phasm_fdb.simulation.world.cluster import Park
from phasm_fdb.simulation.world.database import SimulatedDatabase
from phasm_fdb.simulation.world.link import Link
from phasm_fdb.simulation.world.process import Process

#: How long a client waits before it tries again after an error.
RETRY_SECONDS = 0.5

_KINDS = ("request repeated", "request elsewhere", "client crash", "request late", "transaction", "reset", "body fails")


@dataclass(slots=True)
class Seat:
    """A process of a client, with its memory."""

    process: Process
    link: Link
    database: SimulatedDatabase
    layer: Layer


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of an operation: what was applied, or why nothing was.

    Attributes:
        beside: what came of the inputs beside it.
    """

    applied: Applied | None = None
    refused: Exception | None = None
    beside: tuple[Outcome, ...] = ()

    @property
    def is_applied(self) -> bool:
        return self.applied is not None


def _emitted(applied: Applied) -> Any:
    """What it emitted, without ids that its own transaction did not know, and what only the first answer hands out."""
    return [replace(one, id=None) if isinstance(one.id, Versionstamp) else one for one in applied.tracked]


class Together:
    """What a client does in a transaction of its own.

    Args:
        payloads: the inputs.
        meant: errors that are answers.
        troubles: after which input the transaction is reset, and fails, each once; None for never.
    """

    def __init__(
        self,
        layer: Layer,
        operation: Operation,
        payloads: tuple[Any, ...],
        meant: tuple[type[Exception], ...],
        troubles: dict[str, Any],
    ) -> None:
        self._layer = layer
        self._operation = operation
        self._payloads = payloads
        self._meant: tuple[type[Exception], ...] = (TransitionError, InputFailed, *meant)
        self._troubles = troubles

    def __call__(self, tr: Any) -> list[Outcome]:
        outcomes: list[Outcome] = []
        for turn, payload in enumerate(self._payloads):
            try:
                outcomes.append(Outcome(self._layer.apply(tr, payload, self._operation.request_id(turn))))
            except self._meant as refused:
                outcomes.append(Outcome(refused=refused))
            if self._is_now("body fails", turn):
                raise FDBError(PROCESS_BEHIND, "injected")
            if self._is_now("reset", turn):
                tr.reset()
                return self(tr)
        return outcomes

    def _is_now(self, kind: str, turn: int) -> bool:
        after = self._troubles.get(kind)
        if after is None or turn + 1 < min(int(after), len(self._payloads)):
            return False
        self._troubles[kind] = None
        return True


class Client:
    """One client, and the other process that asks for the same where a fault wants it."""

    def __init__(self, park: Park, number: int) -> None:
        self._park = park
        self.name = f"client {number}"
        self._sites: dict[str, Site | None] = {}
        self._seat: Seat | None = None
        self._seats = 0

    async def execute(self, operation: Operation, payload: Any, more: Callable[[int], tuple[Any, ...]]) -> Outcome:
        """Send an input until its outcome is known.

        Args:
            more: gives so many other inputs, which may be sent beside it.
        """
        self._begin(operation)
        together = self._decide("transaction")
        if together is not None:
            operation = replace(operation, beside=more(int(together) - 1), mode=TOGETHER)
        event = self._announce(operation, payload)
        dies_after = self._decide("client crash")
        if self._decide("request repeated") is not None:
            outcome = await self._twice(operation, payload, dies_after)
        else:
            outcome = await self._until_known(operation, payload, dies_after)
        self._tell(operation, outcome, event)
        late = self._decide("request late")
        if late is not None:
            await asyncio.sleep(float(late))
            again = await self._until_known(operation, payload, None, self._new_seat(operation))
            if outcome.is_applied:
                self._compare(operation, outcome, again)
            self._compare_beside(operation, outcome, again)
        if outcome.is_applied and self._decide("request elsewhere") is not None:
            again = await self._until_known(operation, payload, None, self._new_seat(operation))
            self._compare(operation, outcome, again)
            self._compare_beside(operation, outcome, again)
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
        meant: tuple[type[Exception], ...] = (TransitionError, InputFailed, *self._park.workload.bugs)
        try:
            if operation.mode == TOGETHER:
                return await self._send_together(seat, operation, payload)
            if operation.mode == APPLY:
                return Outcome(await aio.run(layer.apply, db, payload, operation.number))
            if operation.mode == SUBMIT:
                await aio.run(layer.submit, db, payload, operation.number, key)
                return Outcome(await layer.outcome(db, operation.number))
            return Outcome(await layer.call(db, payload, operation.number, key))
        except meant as refused:
            return Outcome(refused=refused)

    async def _send_together(self, seat: Seat, operation: Operation, payload: Any) -> Outcome:
        """Apply several inputs in one transaction, which goes on behind those that are refused."""
        troubles = {kind: self._decide(kind) for kind in ("reset", "body fails")}
        body = Together(seat.layer, operation, (payload, *operation.beside), self._park.workload.bugs, troubles)
        first, *others = await aio.run(run, seat.database, body)
        return replace(first, beside=tuple(others))

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
        self._compare_beside(operation, first, second)
        return first if first.is_applied else second

    def _compare_beside(self, operation: Operation, first: Outcome, second: Outcome) -> None:
        """What was refused may be applied later; what was applied stays so."""
        for one, two in zip(first.beside, second.beside, strict=True):
            if one.is_applied and two.is_applied:
                self._compare(operation, one, two)

    def _compare(self, operation: Operation, first: Outcome, second: Outcome) -> None:
        """Two answers to one request are the same, and its untracked actions are handed out once."""
        one, two = first.applied, second.applied
        assert one is not None
        is_same = two is not None and (one.reply, _emitted(one)) == (two.reply, _emitted(two))
        if two is None or not is_same or (one.untracked and two.untracked):
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


class Deliveries:
    """Feeds results to the layer, as `Layer.complete` lets anybody do.

    Whether a worker was there first decides what comes of it: it completes the action, or it is stale. An id that was
    emitted anew meanwhile is left alone: the result is not of that action.
    """

    def __init__(self, park: Park) -> None:
        self._park = park
        park.world.deliver_again = self.deliver

    def deliver(self, id: Any, result: Any, seconds: float) -> None:
        """Deliver a result once more, after so many seconds."""
        process = self._park.process("callback")
        place = self._place(id)
        if place is not None:
            process.spawn(self._deliver(process, id, result, seconds, place))

    async def _deliver(self, process: Process, id: Any, result: Any, seconds: float, place: bytes) -> None:
        park = self._park
        await asyncio.sleep(seconds)
        if self._place(id) not in (None, place):
            return
        layer, db = park.layer(process), park.database(park.good_link(process))
        try:
            await aio.run(layer.complete, db, id, result)
        except StaleCompletion:
            park.trace.note("stale", pack_element(id))
        except (TransitionError, DatabaseError):
            park.trace.note("delivery failed", pack_element(id))
        else:
            park.trace.note("delivered", pack_element(id))

    def _place(self, id: Any) -> bytes | None:
        """Where the action of an id lies, which tells it from a later one; None if it is not pending."""
        keys, packed = self._park.inspector.keyspace, pack_element(id)
        snapshot = self._park.inspector.snapshot()
        place = snapshot.get(keys.id_row(packed))
        return None if place is None else place + (snapshot.get(keys.location_row(packed)) or b"")
