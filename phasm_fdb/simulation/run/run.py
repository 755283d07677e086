"""One run: setup, then operations under faults, then rest, in which everything has to come to its end."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import logging
import random
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from phasm_fdb.database import aio
from phasm_fdb.embedded.memory_store import MemoryStore
from phasm_fdb.errors import InputRejected, InvariantViolation
from phasm_fdb.machine import TrackedActionCompleted
from phasm_fdb.simulation.choices import EXECUTE, LEAVE, Choice, Choices
from phasm_fdb.simulation.faults import KINDS, ON_REQUEST, Faults
from phasm_fdb.simulation.oracles import Oracles
from phasm_fdb.simulation.program import Operation, Program
from phasm_fdb.simulation.run.rest import Rest
from phasm_fdb.simulation.settings import EPOCH, Settings, stream
from phasm_fdb.simulation.trace import Trace
from phasm_fdb.simulation.workload import Workload
from phasm_fdb.simulation.world.client import Client, Deliveries, Outcome
from phasm_fdb.simulation.world.cluster import Park
from phasm_fdb.simulation.world.commit import Commit
from phasm_fdb.simulation.world.guarding import guarded
from phasm_fdb.simulation.world.host import Host
from phasm_fdb.simulation.world.inspector import Inspector, state_diff
from phasm_fdb.simulation.world.loop import SimulatedLoop
from phasm_fdb.simulation.world.operator import Operator
from phasm_fdb.simulation.world.server import FileStore, Server

#: How often it is looked whether all operations have been started.
LOOK_SECONDS = 0.25
#: An operation leads to at most so many completions, and a run to this many more: beyond that it will never rest.
MOST_COMPLETIONS, MORE_COMPLETIONS = 10, 500


class Run:
    """One run of a workload.

    Args:
        workload: a new one, which nobody else uses.
        choices: make the decisions.
        keep_events: keep every event in `trace`.

    Attributes:
        trace: what happened.
        error: what went wrong; None if nothing did.
        step: the operation during which it was found; 0 in the setup, and one more than there are at rest.
    """

    def __init__(self, workload: Workload, settings: Settings, choices: Choices, keep_events: bool = False) -> None:
        unwanted = set(ON_REQUEST) - set(workload.also)
        settings = replace(settings, faults={kind: p for kind, p in settings.faults.items() if kind not in unwanted})
        self.settings = settings
        self.choices = choices
        self._workload = workload
        self._faults = Faults(choices, settings.faults, settings.slowness)
        schedule = self._faults.site("loop", "schedule")
        self._loop = SimulatedLoop(schedule)
        self.trace = Trace(self._loop.time, keep_events)
        choices.told = self._chosen
        self.error: BaseException | None = None
        self.input: Any = None
        self.step = 0
        self.operations = 0
        self._failure: asyncio.Future[None] = self._loop.create_future()
        self._store = self._new_store()
        self._inspector = Inspector(workload, self._store)
        self._server = Server(self._store, self._loop, self.trace, self._inspector.keyspace.prefix, self._failed)
        self._park = Park(
            *(workload, settings, choices, self._loop, self._server, self._faults, self._inspector, self.trace),
            self._failed,
        )
        Deliveries(self._park)
        self._program = Program(choices, settings)
        self._oracles = Oracles(self._inspector, self.trace, workload, self._park.now, settings, self._counted)
        self._server.observer = self._oracles
        self._park.world.watcher = self._oracles
        self._park.crashed = self._look_after_crash
        self._hosts = [Host(self._park, number + 1) for number in range(settings.workers)]
        self._rest = Rest(self._inspector, self._park.world, settings.ops, self._loop.time, self._slowest_clock)
        self._chance = random.Random()
        self._completed = 0
        self._operations_completed = 0

    @property
    def virtual_seconds(self) -> float:
        """How much time has gone by."""
        return self._loop.time()

    def execute(self) -> None:
        """Run it to its end, or to what goes wrong first."""
        self._loop.failed = self._failed
        with _quiet(), _no_garbage_collection():
            try:
                self._loop.run_until_complete(self._main())
            except Exception as error:
                self._note(error)
            finally:
                self._end()

    def _end(self) -> None:
        self.trace.end()
        self._program.end()
        try:
            self._loop.run_until_complete(self._stop_everything())
        except Exception as error:
            self._note(error)
        finally:
            self._loop.close()
            self._store.close()
        try:
            guarded("close", self._workload.close)
        except Exception as error:
            self._note(error)

    def _new_store(self) -> MemoryStore | FileStore:
        if not self.settings.reopens:
            return MemoryStore(self._loop.time)
        return FileStore(lambda: EPOCH + self._loop.time(), self._loop.advance)

    # ------------------------------------------------------------------------------------------- phases

    async def _main(self) -> None:
        body = self._loop.create_task(self._phases(), name="run")
        await asyncio.wait([body, self._failure], return_when=asyncio.FIRST_COMPLETED)
        if self._failure.done():
            body.cancel()
            await asyncio.wait([body])
        else:
            body.result()

    async def _phases(self) -> None:
        self._phase("setup")
        await self._set_up()
        self._phase("faults")
        for host in self._hosts:
            self._spawn(host.run(), host.name)
            self._spawn(host.make_trouble(), f"trouble of {host.name}")
        operator = Operator(self._park)
        if operator.has_duties:
            self._spawn(operator.run(), "operator")
        clients = [Client(self._park, number + 1) for number in range(self.settings.clients)]
        tasks = [self._spawn(self._be(client, number + 1), client.name) for number, client in enumerate(clients)]
        await self._safety(tasks)
        self._phase("rest")
        self._faults.stop()
        for host in self._hosts:
            host.calm_down()
        self._park.processes.watch_pauses(False)
        await self._come_to_rest(tasks)
        self._oracles.at_rest()
        guarded("check", self._workload.check, self._park.view())
        for name, holds in guarded("sometimes", self._workload.sometimes, self._park.view()).items():
            self.trace.counts[f"sometimes {name}"] += bool(holds)

    def _phase(self, name: str) -> None:
        self.trace.note(f"phase {name}")
        self.trace.event("loop", "phase", name)

    def _spawn(self, coroutine: Any, name: str) -> asyncio.Task[Any]:
        task = self._loop.create_task(coroutine, name=name)
        task.add_done_callback(self._task_ended)
        return task

    def _task_ended(self, task: asyncio.Task[Any]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._failed(error)

    async def _set_up(self) -> None:
        process = self._park.process("setup")
        layer = self._park.layer(process)
        db = self._park.database(self._park.good_link(process))
        payloads = list(guarded("setup", self._workload.setup, stream(self.settings.seed, "clients")))
        for number, payload in enumerate(payloads):
            self.input = payload
            await process.spawn(aio.run(layer.apply, db, payload, ("setup", number)))
        self._oracles.look()

    async def _safety(self, clients: Sequence[asyncio.Task[Any]]) -> None:
        """Until all operations have been started; those that wait for an answer get it at rest."""
        while not all(client.done() for client in clients):
            await asyncio.sleep(LOOK_SECONDS)
            if self.operations >= self.settings.ops:
                return

    async def _come_to_rest(self, clients: Sequence[asyncio.Task[Any]]) -> None:
        self._rest.begin()
        while not (all(client.done() for client in clients) and self._rest.is_reached):
            await self._rest.wait()
            unrest = self._rest.unrest()
            if unrest is not None:
                self._refuse_unrest(unrest, sum(not client.done() for client in clients))
        self.step = self.settings.ops + 1

    def _slowest_clock(self) -> float:
        """By how many seconds the clock of a worker is late."""
        return max(0.0, *(-host.skew for host in self._hosts))

    def _refuse_unrest(self, why: str, waiting: int = 0) -> None:
        self.step = self.settings.ops + 1
        pending = self._inspector.pending()
        more = f" and {len(pending) - 5} more" if len(pending) > 5 else ""
        timers, inputs = self._inspector.count_timers(), self._inspector.count_inputs()
        others = [f"{count} {what}" for count, what in ((timers, "timers"), (inputs, "inputs")) if count]
        left = " and ".join([f"{pending[:5]}{more}", *others])
        clients = f", and {waiting} clients wait for an answer" if waiting else ""
        raise InvariantViolation(f"at rest: {why}: {left} are pending still{clients}")

    async def _stop_everything(self) -> None:
        me = asyncio.current_task()
        tasks = [task for task in asyncio.all_tasks(self._loop) if task is not me]
        for task in tasks:
            task.cancel()
        await self._park.end()
        if tasks:
            await asyncio.wait(tasks)

    # ------------------------------------------------------------------------------------------ clients

    async def _be(self, client: Client, number: int) -> None:
        """A client's life."""
        is_played = self.choices.is_played
        while is_played or self.operations < self.settings.ops:
            operation = self._program.next(number, self._loop.time())
            if operation is None:
                return
            if operation.at > self._loop.time():
                await asyncio.sleep(operation.at - self._loop.time())
            leaves = operation.leaves if is_played else self.operations >= self.settings.ops
            self._program.started(operation, number, leaves)
            if leaves:
                return
            await self._operate(client, operation)

    async def _operate(self, client: Client, operation: Operation) -> None:
        self.operations += 1
        self.step = max(self.step, self.operations)
        chance, view = self._chance_of(operation.number), self._park.view()
        payload = guarded("next_input", self._workload.next_input, chance, view)
        if payload is None:
            self.trace.note("idle")
            return
        self.input = payload
        self._inspector.definition.check_payload(payload)
        outcome = await client.execute(operation, payload, functools.partial(self._beside, operation.number))
        for turn, one in enumerate((outcome, *outcome.beside)):
            self._refused(one)
            self._oracles.answered(operation.request_id(turn), one.applied, one.refused)

    def _beside(self, number: int, count: int) -> tuple[Any, ...]:
        """Other inputs, for the transaction of an operation."""
        payloads = []
        for turn in range(1, count + 1):
            self._chance.seed(zlib.crc32(b"input %d %d %d" % (self.settings.seed, number, turn)))
            payloads.append(guarded("next_input", self._workload.next_input, self._chance, self._park.view()))
        return tuple(payload for payload in payloads if payload is not None)

    def _chance_of(self, number: int) -> random.Random:
        """Chance for one input, whatever other inputs there were."""
        self._chance.seed(zlib.crc32(b"input %d %d" % (self.settings.seed, number)))
        return self._chance

    def _refused(self, outcome: Outcome) -> None:
        if outcome.refused is not None:
            refused = outcome.refused
            kind = refused.kind if isinstance(refused, InputRejected) else type(refused).__name__
            self.trace.counts[f"rejected {kind}"] += 1

    # ------------------------------------------------------------------------------------------ counting

    def _counted(self, commit: Commit) -> None:
        """Count what a commit did."""
        self._rest.committed(commit)
        counts = self.trace.counts
        if commit.event is not None and self.trace.events is not None:
            self.trace.events[commit.event - 1].details["diff"] = state_diff(self._inspector, commit)
        for run in commit.runs:
            if run.error is not None:
                continue
            counts["transitions"] += 1
            if isinstance(run.input, TrackedActionCompleted):
                self._completed += 1
                if self._completed > MOST_COMPLETIONS * self.settings.ops + MORE_COMPLETIONS:
                    self._refuse_unrest(f"after {self._completed} completions")
                counts["completed"] += 1
                counts[f"result {type(run.input.result).__name__}"] += 1
                self._count_completion()
            else:
                counts[f"input {type(run.input.payload).__name__}"] += 1
            for action in run.actions or ():
                counts[f"action {_kind(action)}"] += 1

    def _count_completion(self) -> None:
        """A completion is an operation too, as long as there are not more of them than the workload's share."""
        is_share_full = self._operations_completed >= self._workload.completions * (self.operations + 1)
        if self.operations < self.settings.ops and not is_share_full:
            self.operations += 1
            self._operations_completed += 1

    def _look_after_crash(self) -> None:
        try:
            self._oracles.crashed()
        except Exception as error:
            self._failed(error)

    def _chosen(self, choice: Choice) -> None:
        """A decision was made that is not the default."""
        if choice.what in (EXECUTE, LEAVE):
            return
        self.trace.note(f"fault {choice.what}", choice.who.encode())
        if self.trace.events is not None and choice.what != "schedule":
            text = f"{choice.who}: {KINDS[choice.what].text}"
            column = choice.who.partition(".")[0]
            self.trace.event(column, "fault", text, fault=choice.what, value=choice.value)

    # ------------------------------------------------------------------------------------------- failing

    def _failed(self, error: BaseException) -> None:
        self._note(error)
        if not self._failure.done():
            self._failure.set_result(None)

    def _note(self, error: BaseException) -> None:
        if self.error is None and not isinstance(error, asyncio.CancelledError):
            self.error = error
            self.trace.note("violation", str(error).encode())
            self.trace.event("loop", "violation", str(error), invariant=str(error))
            self.trace.end()
            self._faults.stop()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the workers' log silent: under faults it has thousands of lines, and the trace says more."""
    logger = logging.getLogger("phasm_fdb")
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(level)


@contextlib.contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Let nothing be finalized at a moment that depends on what the process did before.

    A transaction that is dropped cancels its watches, which wakes whoever waits for them.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _kind(action: Any) -> str:
    held = getattr(action, "action", None)
    return type(action.payload if held is None else held).__name__
