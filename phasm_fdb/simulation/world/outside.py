"""The simulated outside world: it does what the workload's `perform` says, and remembers every call."""

from __future__ import annotations

import asyncio
import inspect
import random
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from phasm_fdb.definition import Definition
from phasm_fdb.errors import InvariantViolation
from phasm_fdb.keys import pack_element
from phasm_fdb.runtime import Attempt, Handlers, Retry
from phasm_fdb.runtime.handlers import members
from phasm_fdb.simulation.choices import Site, Value
from phasm_fdb.simulation.faults import Faults
from phasm_fdb.simulation.trace import WORLD, Trace, column_of
from phasm_fdb.simulation.workload import Workload
from phasm_fdb.simulation.world.guarding import guard_handlers, guarded
from phasm_fdb.simulation.world.loop import OutsideSimulation, SimulatedLoop
from phasm_fdb.simulation.world.process import Process

#: How long a call takes by itself: time has to pass, or a machine that never rests would keep it from passing.
CALL_SECONDS = 0.001
#: A call whose handler has no timeout is given up after so long: it hangs.
UNBOUNDED_CALL_SECONDS = 3600.0

_KINDS = (
    *("call slow", "call fails", "result lost", "call repeated", "crash before call", "crash after call"),
    "completion repeated",
)


class OutsideError(Exception):
    """The outside world did not answer, or its answer got lost."""


@dataclass(slots=True)
class Called:
    """What the outside world knows of one idempotency key.

    Attributes:
        id: the tracked id, packed, that came with it.
        times: how often it was called.
        results: what it answered, each time that it did.
    """

    id: bytes
    times: int = 0
    results: list[Any] = field(default_factory=list)


class Watcher(Protocol):
    """Who looks at every outside call; raises what it finds wrong."""

    def called(self, process: Process, packed_id: bytes, idempotency_key: str) -> None:
        """A worker begins an outside call."""


class OutsideWorld:
    """Everything outside of the layer.

    Args:
        failed: told of what must not happen: the run is over then.

    Attributes:
        watcher: looks at every call, once it is set.
        deliver_again: has a result delivered once more, after so many seconds, by somebody else than the worker.
        by_key: every call, by idempotency key.
        answered: how many calls were answered.
        seconds_between_calls: the longest time that a rate limit keeps the next call of a type waiting.
        longest_call_seconds: the longest time that one attempt may take.
    """

    def __init__(
        self,
        workload: Workload,
        definition: Definition,
        seed: int,
        loop: SimulatedLoop,
        trace: Trace,
        faults: Faults,
        failed: Callable[[BaseException], None],
    ) -> None:
        self._workload = workload
        self._definition = definition
        self._seed = seed
        self._loop = loop
        self._trace = trace
        self._faults = faults
        self._failed = failed
        self._chance = random.Random()
        self._takes_key = len(inspect.signature(workload.perform).parameters) > 2
        self._calls: dict[int, int] = {}
        self.watcher: Watcher | None = None
        self.deliver_again: Callable[[Any, Any, float], None] = lambda id, result, seconds: None
        self.by_key: dict[str, Called] = {}
        self.answered = 0
        self.seconds_between_calls = 0.0
        self.longest_call_seconds = 0.0

    def handlers(self, process: Process, who: str, definition: Definition, without: int | None = None) -> Handlers:
        """The handlers of one worker: all of them call here.

        Args:
            who: whose decisions the faults of its calls are.
            definition: of the worker's machine; an older one has handlers only for the actions that it declares.
            without: leave out the handler of this tracked action type (modulo how many), as an older version might.
        """
        caller = Caller(self, process, {kind: self._faults.site(who, kind) for kind in _KINDS})
        own = self._workload.handlers(caller.call)
        tracked, untracked = members(definition.tracked.type), members(definition.untracked.type)
        if own is not None:
            for newer in set(_actions(self._definition)) - set(_actions(definition)):
                own._handlers.pop(newer, None)
            self._note_times(own)
            return guard_handlers(own, self._failed)
        handlers = Handlers()
        left_out = None if without is None or len(tracked) < 2 else tracked[without % len(tracked)]
        for type_ in tracked:
            if type_ is not left_out:
                handlers.on(type_, retry=Retry(first_delay=0.1, max_delay=30.0))(caller.call)
        for type_ in untracked:
            handlers.on(type_)(caller.notice)
        self._note_times(handlers)
        return handlers

    def _note_times(self, handlers: Handlers) -> None:
        """Note how long the calls of these handlers may take, and how long they may have to wait for one another."""
        for handler in map(handlers.of_type, handlers):
            assert handler is not None
            timeout = UNBOUNDED_CALL_SECONDS if handler.retry.timeout is None else handler.retry.timeout
            self.longest_call_seconds = max(self.longest_call_seconds, timeout)
            if handler.limit is not None and handler.limit.per_second is not None:
                refill = handler.limit.bucket_size / handler.limit.per_second
                self.seconds_between_calls = max(self.seconds_between_calls, refill)

    # -------------------------------------------------------------------------------------- from callers

    def begin(self, process: Process, attempt: Attempt) -> Called:
        """A call arrives."""
        packed = pack_element(attempt.id)
        called = self.by_key.setdefault(attempt.idempotency_key, Called(packed))
        called.times += 1
        self._trace.note("call", attempt.idempotency_key.encode())
        if called.id != packed:
            self._failed(
                InvariantViolation(
                    f"idempotency key: {attempt.idempotency_key} came with the id {attempt.id!r}, "
                    "and with another before"
                )
            )
        if self.watcher is not None:
            try:
                self.watcher.called(process, packed, attempt.idempotency_key)
            except Exception as error:
                self._failed(error)
        return called

    def perform(self, action: Any, attempt: Attempt) -> Any:
        """Do what is asked for; raises what the workload's `perform` raises."""
        chance = self._chance_of(action)
        try:
            if self._takes_key:
                return guarded("perform", self._workload.perform, chance, action, attempt)  # type: ignore[call-arg]
            return guarded("perform", self._workload.perform, chance, action)
        except (AssertionError, InvariantViolation, NotImplementedError, OutsideSimulation) as error:
            self._failed(error)
            raise

    def _chance_of(self, action: Any) -> random.Random:
        """Chance for one call: it depends on the action, and on how often that was asked for, and on no other call."""
        content = zlib.crc32(self._definition.tracked.encode(action), self._seed & 0xFFFFFFFF)
        count = self._calls[content] = self._calls.get(content, 0) + 1
        self._chance.seed((content << 32) | count)
        return self._chance


def _actions(definition: Definition) -> list[Any]:
    """The types of all actions of a machine."""
    return [*members(definition.tracked.type), *members(definition.untracked.type)]


class Caller:
    """One worker's way to the outside world, on which faults happen.

    Attributes:
        call: the handler of every tracked action.
    """

    def __init__(self, world: OutsideWorld, process: Process, sites: dict[str, Site | None]) -> None:
        self._world = world
        self._process = process
        self._sites = {kind: site for kind, site in sites.items() if site is not None}

    def _decide(self, kind: str) -> Value | None:
        site = self._sites.get(kind)
        return None if site is None else site.decide()

    async def call(self, action: Any, attempt: Attempt) -> Any:
        """Make one call; raises OutsideError if it fails, or what `perform` raises."""
        world = self._world
        event = self._tell_call(action, attempt)
        await self._way_there()
        called = world.begin(self._process, attempt)
        result = self._perform(called, action, attempt, event)
        if self._decide("call repeated") is not None:
            self._perform(called, action, attempt, event)
        await self._way_back()
        again = self._decide("completion repeated")
        if again is not None:
            world.deliver_again(attempt.id, result, float(again))
        return result

    def _perform(self, called: Called, action: Any, attempt: Attempt, event: int | None) -> Any:
        world, trace = self._world, self._world._trace
        try:
            result = world.perform(action, attempt)
        except Exception as error:
            trace.note("failed call", type(error).__name__.encode())
            if trace.events is not None:
                text = f"{action!r} fails: {error!r}"
                trace.event(WORLD, "result", text, event, id=attempt.id, error=repr(error))
            raise
        called.results.append(result)
        world.answered += 1
        if trace.events is not None:
            text, again = f"{action!r} gives {result!r}", len(called.results) > 1
            trace.event(WORLD, "result", text, event, id=attempt.id, result=result, repeated=again)
        return result

    def _tell_call(self, action: Any, attempt: Attempt) -> int | None:
        trace = self._world._trace
        if trace.events is None:
            return None
        return trace.event(
            column_of(self._process.name),
            "call",
            f"call {action!r} (attempt {attempt.number})",
            id=attempt.id,
            action=action,
            attempt=attempt.number,
            key=attempt.idempotency_key,
        )

    async def _way_there(self) -> None:
        if self._decide("crash before call") is not None:
            self._process.crash("before an outside call")
            await asyncio.sleep(0)
        await asyncio.sleep(CALL_SECONDS + float(self._decide("call slow") or 0.0))
        if self._decide("call fails") is not None:
            raise OutsideError("the call did not arrive")

    async def _way_back(self) -> None:
        if self._decide("result lost") is not None:
            self._world._trace.note("lost result")
            raise OutsideError("the result was lost")
        if self._decide("crash after call") is not None:
            self._process.crash("after an outside call, with its result")
            await asyncio.sleep(0)

    async def notice(self, action: Any, attempt: Attempt) -> None:
        """The handler of every untracked action: nothing depends on it."""
        self._world._trace.note("untracked")
