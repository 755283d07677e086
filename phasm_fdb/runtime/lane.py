"""A lane that this worker holds."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from phasm_fdb.database.versions import VERSIONS_PER_SECOND
from phasm_fdb.keyspace import Keyspace
from phasm_fdb.lease import Lease
from phasm_fdb.runtime.window import Window
from phasm_fdb.runtime.work import Work


class Lane:
    """What a worker keeps of one held lane.

    Attributes:
        lease: under which it is held.
        window: the actions that are loaded and do not run.
        cursor: the outbox key from which on nothing is loaded yet.
        at_end: nothing was behind the cursor when it was last read.
        dirty: something may have come into the lane since.
        next_timer_ms: when the lane's first timer is due.
        has_inputs: inputs wait to be applied.
        running: the handler calls and started works of this lane.
        applying: the task that applies the lane's inputs.
        draining_since: since when, in seconds of the loop's time, nothing is started any more, since the lane is to be
            handed over: to `heir`, or to whoever claims it. None while it is not.
        reluctant_until: until when the lane is not chosen to be handed over, since it could not be emptied.
        seen: the database's version when the lane was last read, and the loop's time then.
        is_open: it was taken over, and its actions may be started.
        waits_since: since when, in seconds of the loop's time, it cannot be taken over, since `restore` came upon state
            that newer code wrote. None while that is not so.
    """

    def __init__(
        self,
        lease: Lease,
        keyspace: Keyspace,
        is_limited: Callable[[str], bool],
        is_known: Callable[[str], bool],
    ) -> None:
        self.lease = lease
        self.window = Window(is_limited, is_known)
        self.cursor, self.end = keyspace.lane(lease.lane)
        self.at_end = False
        self.dirty = True
        self.next_timer_ms: int | None = None
        self.has_inputs = False
        self.unknown_inputs: set[str] = set()
        self.running: dict[Work, asyncio.Task[None] | None] = {}
        self.applying: asyncio.Task[None] | None = None
        self.draining_since: float | None = None
        self.heir: bytes | None = None
        self.reluctant_until = 0.0
        self.is_open = False
        self.waits_since: float | None = None
        self.seen = (0, 0.0)
        self.watch: Any = None

    def needs_loading(self, wanted: int) -> bool:
        """Whether to read the lane: something came in, or what is loaded runs low and there is more."""
        if not self.is_working:
            return False
        window = self.window
        return self.dirty or (not self.at_end and window.wants_more(wanted)) or window.second_look() is not None

    @property
    def is_working(self) -> bool:
        """Whether actions and inputs of the lane may be started."""
        return self.is_open and self.draining_since is None

    @property
    def is_idle(self) -> bool:
        """Whether nothing of the lane is in the works."""
        return not self.running and self.applying is None

    def age_of_oldest(self, now: float) -> float:
        """How many seconds ago the oldest action that is loaded or runs came in; 0 if there is none.

        By the database's versions, of which a million are given out a second; `now` is the loop's time.
        """
        stamps = [work.since for work in self.running]
        waiting = self.window.oldest()
        oldest = min(stamps if waiting is None else [*stamps, waiting], default=None)
        if oldest is None:
            return 0.0
        version, then = self.seen
        emitted = int.from_bytes(oldest.tr_version[:8], "big")
        return max(0.0, (version - emitted) / VERSIONS_PER_SECOND + now - then)

    def close(self) -> None:
        """Stop everything that is done for the lane: it is lost, or given back."""
        if self.watch is not None:
            self.watch.cancel()
            self.watch = None
        for task in self.running.values():
            if task is not None:
                task.cancel()
        if self.applying is not None:
            self.applying.cancel()
