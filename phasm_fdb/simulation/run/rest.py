"""Whether a run that has no more faults comes to rest, or never will.

Time alone does not tell: a timer may be due in a month, a rate limit may let one call through an hour, and a call that
fails is tried again later and later. What tells is that nothing happens although something is due, or that what
happens leads nowhere.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from phasm_fdb.simulation.settings import EPOCH
from phasm_fdb.simulation.world.commit import Commit
from phasm_fdb.simulation.world.inspector import Inspector
from phasm_fdb.simulation.world.outside import OutsideWorld

#: Within so many virtual seconds something that is due has to go on.
PATIENCE_SECONDS = 300.0
#: How often it is looked whether all is at rest.
LOOK_SECONDS = 0.25
#: So many steps, and more for each thing that is pending, may follow one another without a transition. An attempt that
#: fails takes up to three: it is started, it is put off, and it is due again.
MOST_STEPS, MORE_STEPS_EACH = 200, 100
#: An operation leads to at most so many transitions after the faults, and a run to this many more.
MOST_TRANSITIONS, MORE_TRANSITIONS = 10, 500

#: The sections of the keyspace that a step changes: outbox, progress of attempts, timers, inbox.
_STEPS = frozenset("antq")
#: A dead letter is an end too.
_DEAD_LETTERS = "d"


class Rest:
    """Watches the commits of a run, and tells how long to wait for what is pending.

    Args:
        ops: how many operations the run has.
        now: the virtual time in seconds.
        behind: by how many seconds the clock of a worker may be late, so that it finds what is due only then.
    """

    def __init__(
        self,
        inspector: Inspector,
        world: OutsideWorld,
        ops: int,
        now: Callable[[], float],
        behind: Callable[[], float],
    ) -> None:
        self._inspector = inspector
        self._world = world
        self._most_transitions = MOST_TRANSITIONS * ops + MORE_TRANSITIONS
        self._now = now
        self._behind = behind
        self._waits_since = 0.0
        self._steps = 0
        self._transitions = 0

    def begin(self) -> None:
        """The faults have stopped: count from now on."""
        self._waits_since = self._now()
        self._steps = self._transitions = 0

    def committed(self, commit: Commit) -> None:
        """Count what a commit did."""
        applied = sum(run.error is None for run in commit.runs)
        if applied or commit.of(_DEAD_LETTERS):
            self._steps = 0
            self._transitions += applied
        elif _STEPS & commit.rows.keys():
            self._steps += 1
        else:
            return
        self._waits_since = self._now()

    @property
    def is_reached(self) -> bool:
        """Whether nothing is pending."""
        return not self._inspector.is_anything_pending()

    async def wait(self) -> None:
        """Let some time pass: as much as nothing can happen in, where that is known."""
        await asyncio.sleep(max(LOOK_SECONDS, self._waits_since - self._now()))

    def unrest(self) -> str | None:
        """Why the run will never be at rest; None as long as it may be."""
        if self._transitions > self._most_transitions:
            return f"{self._transitions:,} transitions after the faults lead to more and more"
        if self._steps > MOST_STEPS and self._steps > MOST_STEPS + MORE_STEPS_EACH * self._inspector.count_pending():
            return f"{self._steps:,} steps in a row lead nowhere"
        if self._idle_seconds() <= PATIENCE_SECONDS:
            return None
        due = self._inspector.next_due_ms()
        if due is not None:  # by the slowest clock
            self._waits_since = max(self._waits_since, due / 1000 - EPOCH + self._behind())
        allowed = PATIENCE_SECONDS + self._world.seconds_between_calls
        if self._idle_seconds() > allowed and self._inspector.is_call_running():
            allowed = PATIENCE_SECONDS + self._world.longest_call_seconds
        if self._idle_seconds() > allowed:
            return f"for {self._idle_seconds():,.0f} virtual seconds nothing happens"
        return None

    def _idle_seconds(self) -> float:
        return self._now() - self._waits_since
