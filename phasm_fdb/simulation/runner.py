"""One run: a seed decides what clients ask for, what the outside world answers, and when everything crashes.

First a safety phase of `ops` operations, with the invariants checked after every transition. Then crashes stop,
everything pending is completed, and the system is checked at rest.
"""

from __future__ import annotations

import copy
import traceback
from collections import deque
from collections.abc import Callable
from typing import Any

from phasm_fdb.actions import Tracked, Untracked
from phasm_fdb.errors import InvariantViolation, StaleCompletion, TransitionError
from phasm_fdb.machine import Normal
from phasm_fdb.receipts import Applied
from phasm_fdb.simulation.result import Result, Violation
from phasm_fdb.simulation.system import System, stream
from phasm_fdb.simulation.trace import Trace
from phasm_fdb.simulation.work import Work
from phasm_fdb.simulation.workload import Workload

#: How often the whole state is checked in a run, beside the incremental check of every transition.
FULL_CHECKS = 5
#: How many requests back a client may repeat.
REPEATABLE = 50
#: How many times over the pending actions may be completed until there are none, beside once for each of them: of
#: those with one ordering key only one is done at a time.
ROUNDS_TO_REST = 200
LONGEST_PAUSE_SECONDS = 2.0


def simulate(
    workload: Workload | Callable[[], Workload],
    *,
    seed: int = 0,
    ops: int = 1000,
    crashes: float = 0.003,
    repeats: float = 0.02,
) -> Result:
    """Run a workload once.

    Args:
        workload: the class, or a function that makes one; an object is copied, so that a run leaves it as it was.
        seed: decides everything. The same seed gives the same digest, in another process too.
        ops: how many operations, each an input or a completion.
        crashes: the chance that everything in memory is lost before an operation, or between an outside call and
            its completion.
        repeats: the chance that a client repeats one of its last requests, or a completion is delivered twice.

    Returns:
        The result; what went wrong is in its `violations`, and is not raised.
    """
    fresh = copy.deepcopy(workload) if isinstance(workload, Workload) else workload()
    return _Run(fresh, seed, ops, crashes, repeats).result()


class _Run:
    """The state of one run."""

    def __init__(self, workload: Workload, seed: int, ops: int, crashes: float, repeats: float) -> None:
        self._workload = workload
        self._seed = seed
        self._ops = ops
        self._crashes = crashes
        self._repeats = repeats
        self._schedule = stream(seed, "schedule")
        self._clients = stream(seed, "clients")
        self._world = stream(seed, "world")
        self._trace = Trace()
        self._work = Work()
        self._answered: deque[tuple[int, Any, Applied]] = deque(maxlen=REPEATABLE)
        self._requests = 0
        self._step = 0
        self._operations = 0
        self._input: object = None

    def result(self) -> Result:
        """Run, and say how it went."""
        violations: tuple[Violation, ...] = ()
        try:
            self._system = System(self._workload, self._seed)
            self._set_up()
            self._be_safe()
            self._come_to_rest()
        except Exception as error:
            violations = (self._violation(error),)
        counts = self._trace.counts
        return Result(
            seeds=1,
            operations=self._operations,
            transitions=counts["applied"] + counts["completed"],
            rejections=sum(number for event, number in counts.items() if event.startswith("rejected ")),
            crashes=counts["crash"],
            counts=dict(counts),
            violations=violations,
            digest=self._trace.digest,
        )

    def _violation(self, error: Exception) -> Violation:
        if isinstance(error, InvariantViolation | AssertionError):
            what = str(error) or "an assertion failed"
        else:
            what = f"{type(error).__name__}: {error}"
        self._trace.record("violation", what)
        details = "".join(traceback.format_exception(error))
        return Violation(self._seed, self._step, what, None if self._input is None else repr(self._input), details)

    # ------------------------------------------------------------------------------------------- phases

    def _set_up(self) -> None:
        for payload in self._workload.setup(self._clients):
            self._apply(payload)

    def _be_safe(self) -> None:
        every = max(1, self._ops // FULL_CHECKS)
        for step in range(1, self._ops + 1):
            self._step = step
            self._system.clock.sleep(self._schedule.uniform(0, LONGEST_PAUSE_SECONDS))
            if self._happens(self._crashes):
                self._crash()
            if self._happens(self._repeats):
                self._repeat_request()
            self._operate()
            if step % every == 0:
                self._check_everything()

    def _come_to_rest(self) -> None:
        """Complete what is pending, and what that emits, until there is nothing."""
        self._step = self._ops + 1
        if self._schedule.random() < 0.5:
            self._crash()
        rounds = ROUNDS_TO_REST + len(self._work)
        for _ in range(rounds):
            ready = self._work.ready(self._system.clock.now_ms())
            for action in ready:
                self._complete(action, crash=False)
            due = self._work.next_due()
            if due is None:
                break
            if not ready:
                self._system.clock.sleep((due - self._system.clock.now_ms() + 1) / 1000)
        self._check_everything()
        pending = list(self._system.layer.pending(self._system.db))
        if pending:
            raise InvariantViolation(f"at rest: after {rounds} rounds {pending} are pending still")
        self._workload.check(self._system.view())
        for name, holds in self._workload.sometimes(self._system.view()).items():
            self._trace.counts[f"sometimes {name}"] += bool(holds)

    # ------------------------------------------------------------------------------------------ operations

    def _operate(self) -> None:
        self._operations += 1
        completes = self._happens(self._workload.completions)
        ready = self._work.ready(self._system.clock.now_ms()) if completes else []
        if ready:
            self._complete(self._schedule.choice(ready), crash=self._happens(self._crashes))
            return
        payload = self._workload.next_input(self._clients, self._system.view())
        if payload is None:
            self._trace.record("idle")
        else:
            self._apply(payload)

    def _apply(self, payload: Any) -> None:
        self._requests += 1
        request_id = self._requests
        self._input = payload
        kind = _kind(payload)
        try:
            applied = self._system.layer.apply(self._system.db, payload, request_id)
        except TransitionError as error:
            self._rejected(kind, payload, error)
            return
        self._trace.record("applied", request_id, payload, applied.reply, applied.tracked, applied.untracked)
        self._trace.counts[f"input {kind}"] += 1
        self._answered.append((request_id, payload, applied))
        self._emitted(applied)

    def _complete(self, action: Tracked[Any], crash: bool) -> None:
        """Do an action in the outside world and bring back its result, unless everything crashes in between."""
        self._input = action
        try:
            result = self._workload.perform(self._world, action.action)
        except Exception as error:
            self._trace.record("failed call", action, repr(error))
            return
        if crash:
            self._trace.record("lost result", action, result)
            self._crash()
            return
        self._input = (action, result)
        try:
            applied = self._system.layer.complete(self._system.db, action.id, result)
        except TransitionError as error:
            self._rejected(_kind(result), action, error)
            return
        except StaleCompletion:  # the machine cancelled it
            self._trace.record("stale", action)
            self._work.remove(action)
            return
        self._trace.record("completed", action, result, applied.reply, applied.tracked, applied.untracked)
        self._trace.counts[f"result {_kind(result)}"] += 1
        self._work.remove(action)
        self._emitted(applied)
        if self._happens(self._repeats):
            self._repeat_completion(action, result)

    def _rejected(self, kind: str, subject: object, error: TransitionError) -> None:
        self._trace.record(f"rejected {type(error).__name__}", kind, subject, str(error))

    def _emitted(self, applied: Applied) -> None:
        self._work.add(applied.tracked, self._system.clock.now_ms())
        emitted: tuple[Tracked[Any] | Untracked[Any], ...] = (*applied.tracked, *applied.untracked)
        for action in emitted:
            self._trace.counts[f"action {_kind(action.action)}"] += 1

    # --------------------------------------------------------------------------------------------- faults

    def _crash(self) -> None:
        actions = self._system.crash()
        self._work = Work()
        self._work.add(actions.tracked, self._system.clock.now_ms())
        self._trace.record("crash", actions.tracked, actions.untracked)

    def _repeat_request(self) -> None:
        """A client that did not hear the answer asks again under the same request id."""
        if not self._answered:
            return
        request_id, payload, first = self._schedule.choice(self._answered)
        self._input = payload
        again = self._system.layer.apply(self._system.db, payload, request_id)
        same = (again.reply, again.tracked, again.untracked) == (first.reply, first.tracked, first.untracked)
        if not again.repeated or not same:
            raise InvariantViolation(f"exactly once: request {request_id} was applied again: {again}, at first {first}")
        self._trace.record("repeated", request_id)

    def _repeat_completion(self, action: Tracked[Any], result: Any) -> None:
        """A result that is delivered twice is stale, unless the machine emitted the id again."""
        if action in self._work:
            return
        try:
            self._system.layer.complete(self._system.db, action.id, result)
        except StaleCompletion:
            self._trace.record("completed twice", action.id)
            return
        raise InvariantViolation(f"exactly once: the result of {action} was applied twice")

    # --------------------------------------------------------------------------------------------- checks

    def _check_everything(self) -> None:
        self._system.layer.check(self._system.db)
        for action in self._system.layer.pending(self._system.db):
            if action not in self._work:
                raise InvariantViolation(f"no action lost: {action} is pending, and was never handed out")

    def _happens(self, chance: float) -> bool:
        return self._schedule.random() < chance


def _kind(value: object) -> str:
    return type(value.payload if isinstance(value, Normal) else value).__name__
