"""What takes its time is waited for, however long that is; what will never end is found."""

from __future__ import annotations

import asyncio
import random
import re
from dataclasses import dataclass
from typing import Any

import pytest

from phasm_fdb import Actions, Counter, Handlers, Map, Normal, State, StateMachine, Tracked
from phasm_fdb.runtime import Limit, Retry
from phasm_fdb.simulation import Workload, simulate

HOUR = 3600.0


@dataclass(frozen=True)
class Remind:
    """Input: call somebody after so many seconds."""

    after: float


@dataclass(frozen=True)
class Due:
    """Input: the time has come."""

    id: int


@dataclass(frozen=True)
class Call:
    """Tracked: call them."""

    id: int


@dataclass(frozen=True)
class Called:
    """Result: they were called."""


class ReminderState(State):
    last = Counter()
    called = Map(int, bool)


class Reminders(StateMachine):
    """Calls when the time has come."""

    State = ReminderState
    Input = Remind | Due
    TrackedAction = Call
    TrackedResult = Called

    def stf(self, state: Any, input: Any, actions: Actions) -> None:
        match input:
            case Normal(Remind(after)):
                id = state.last.take()
                state.called[id] = False
                actions.later(("due", id), Due(id), after=after)
            case Normal(Due(id)):
                self.due(state, actions, id)
            case _:
                state.called[input.id] = True

    def due(self, state: Any, actions: Actions, id: int) -> None:
        actions.add(Tracked(id, Call(id)))


class KeepsReminding(Reminders):
    """Sets a new timer each time."""

    def due(self, state: Any, actions: Actions, id: int) -> None:
        actions.later(("due", id), Due(id), after=60)


class RemindersWorkload(Workload):
    """A few reminders, of which three calls in four fail."""

    machine: Any = Reminders
    after = 400.0

    def __init__(self) -> None:
        self.calls = 0

    def next_input(self, rng: random.Random, view: Any) -> Any:
        return Remind(self.after)

    def perform(self, rng: random.Random, action: Call) -> Called:
        self.calls += 1
        if self.calls % 4:
            raise ConnectionError("nobody answers")
        return Called()

    def check(self, view: Any) -> None:
        assert all(view.called.values())


class MuchLaterWorkload(RemindersWorkload):
    """Much later than a run without timers takes."""

    after = 3 * HOUR


class OwnHandlers(RemindersWorkload):
    """Runs the calls by handlers of its own."""

    after = 0.1
    retry: Retry | None = None
    limit: Limit | None = None
    seconds = 0.0

    def perform(self, rng: random.Random, action: Call) -> Called:
        return Called()

    def handlers(self, call: Any) -> Handlers:
        handlers = Handlers()

        @handlers.on(Call, retry=self.retry, limit=self.limit)
        async def make(action: Call, attempt: Any) -> Called:
            await asyncio.sleep(self.seconds)
            return await call(action, attempt)  # type: ignore[no-any-return]

        return handlers


class OneIn20MinutesWorkload(OwnHandlers):
    """A rate limit that lets one call through in twenty minutes."""

    limit = Limit(per_second=3 / HOUR)


class SlowCallsWorkload(OwnHandlers):
    """Each call takes half an hour, and may."""

    seconds = 1800.0
    retry = Retry(timeout=2000.0)


class HourlyRetriesWorkload(OwnHandlers):
    """A call that fails is tried again within an hour."""

    retry = Retry(first_delay=HOUR, max_delay=HOUR)

    def perform(self, rng: random.Random, action: Call) -> Called:
        return RemindersWorkload.perform(self, rng, action)


class HangingCallsWorkload(OwnHandlers):
    """A call never ends, and nobody gives it up."""

    seconds = 1e9
    retry = Retry(timeout=None)


class DownForGoodWorkload(RemindersWorkload):
    """No call ever succeeds."""

    def perform(self, rng: random.Random, action: Call) -> Called:
        raise ConnectionError("down for good")


class KeepsRemindingWorkload(RemindersWorkload):
    machine = KeepsReminding


@pytest.mark.parametrize(
    "workload",
    [RemindersWorkload, MuchLaterWorkload, OneIn20MinutesWorkload, SlowCallsWorkload, HourlyRetriesWorkload],
)
def test_what_takes_its_time_is_waited_for(workload: type[Workload]) -> None:
    result = simulate(workload, ops=6, workers=1, faults="none")
    assert result.held, result.violations
    assert result.counts["result Called"] >= 4, "it was not for nothing that it was waited"
    assert result.virtual_seconds > 300


@pytest.mark.parametrize(
    ("workload", "why"),
    [
        (HangingCallsWorkload, "for 3,9[0-9]+ virtual seconds nothing happens: .*Call"),
        (DownForGoodWorkload, r"[0-9,]+ steps in a row lead nowhere: \[Tracked\(id=.*Call\(id="),
        (KeepsRemindingWorkload, r"5[0-9]+ transitions after the faults lead to more and more: \[\] and \d+ timers"),
    ],
    ids=["a call that hangs", "calls that fail", "timers without end"],
)
def test_what_never_ends_is_found(workload: type[Workload], why: str) -> None:
    [violation] = simulate(workload, ops=6, workers=1, faults="none").violations
    assert re.match(f"at rest: {why}", violation.invariant), violation.invariant
