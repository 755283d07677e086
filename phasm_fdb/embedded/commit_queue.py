"""The queue of commits to one file: one thread at a time leads, and writes a whole group of them.

Who leads: the first that finds nobody leading. The others wait for their own commit, and when a group is
written its leader passes the lead to the owner of the first commit that has queued up meanwhile. So a lone
thread hands nothing to another. Where writing a group waits for an fsync, and there were others a moment ago,
the new leader gives those that were just served a moment to come back: else half of the threads would wait for
the fsync of the other half, in turn.

A thread that runs an event loop must not block for the disk or for a lock. It leads only if the group can be
written without waiting; else its commit, and the lead where it comes to that, go to a helper thread.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

from phasm_fdb.embedded.helper_thread import HelperThread
from phasm_fdb.embedded.sqlite_errors import COMMIT_UNKNOWN_RESULT
from phasm_fdb.embedded.store import CommitDone, CommitRequest, Committed
from phasm_fdb.errors import FDBError

GROUP_COMMITS = 1000
GROUP_BYTES = 10_000_000
"""A group takes no more commits than this, nor more once its mutations have these bytes."""


Turn = threading.Lock


class QueuedCommit:
    """A commit in the queue.

    Attributes:
        request: what to commit.
        since: the version that it read; of no meaning without a snapshot.
        taken_at: when it took that version, in versions.
        outcome: None until it is decided.
    """

    __slots__ = ("done", "outcome", "request", "since", "taken_at", "turn")

    def __init__(self, request: CommitRequest, since: int, taken_at: int, done: CommitDone | None) -> None:
        self.request = request
        self.since = since
        self.taken_at = taken_at
        self.outcome: Committed | FDBError | None = None
        self.done = done
        """Who to tell the outcome; None where the committing thread waits for it itself."""
        self.turn: Turn | None = None
        """What that thread waits for: held until the commit is decided, or its thread is to lead."""


class MustWait(Exception):
    """The group cannot be written without waiting, and the caller said that it may not wait."""


Afterwards = Callable[[], None]
"""What is to be done when a group is decided and the lead passed on: it may call anything, and commit too."""

WriteGroup = Callable[[Sequence[QueuedCommit], bool], Afterwards]
"""Decides every commit of a group. Told whether it may wait; raises MustWait, having done nothing, if not."""


class CommitQueue:
    """Brings commits to `write` in groups.

    Args:
        write: writes one group; never called by two threads at once.
        always_waits: whether writing a group always waits (for an fsync).
        clock: seconds; measures how long that is.
    """

    def __init__(self, write: WriteGroup, *, always_waits: bool, clock: Callable[[], float] = time.monotonic) -> None:
        self._write = write
        self._always_waits = always_waits
        self._clock = clock
        self._queue: deque[QueuedCommit] = deque()
        self._lock = threading.Lock()
        self._idle = threading.Condition(self._lock)
        self._arrived = threading.Condition(self._lock)
        self._crowd = 1
        """How many were in the last group, or waited when it was done."""
        self._write_seconds = 0.0
        self._led = False
        self._helper = HelperThread("phasm-commit", self._lead_as_helper)

    def commit(self, request: CommitRequest, since: int, taken_at: int, done: CommitDone) -> None:
        """Queue one commit; in a thread without an event loop, `done` has been told when this returns."""
        if _runs_event_loop():
            self._commit_in_loop(QueuedCommit(request, since, taken_at, done))
            return
        entry = QueuedCommit(request, since, taken_at, None)
        if not self._enqueue(entry):
            self._wait_for_turn(entry)
        if entry.outcome is None:
            self._lead(may_wait=True)
        assert entry.outcome is not None
        done(entry.outcome)

    @property
    def waiting(self) -> int:
        """How many commits no group has taken yet."""
        return len(self._queue)

    def close(self) -> None:
        """Wait until everything that is queued is decided, and end the helper thread."""
        with self._idle:
            self._idle.wait_for(lambda: not self._led)
        self._helper.stop()

    def _commit_in_loop(self, entry: QueuedCommit) -> None:
        if not self._enqueue(entry):
            return  # whoever leads passes the lead on to the helper thread when this entry is the first
        if self._always_waits:
            self._helper.wake()
            return
        try:
            self._lead(may_wait=False)
        except MustWait:
            self._helper.wake()

    def _enqueue(self, entry: QueuedCommit) -> bool:
        """Put a commit into the queue; True if its thread has the lead now."""
        with self._lock:
            self._queue.append(entry)
            self._arrived.notify()
            if not self._led:
                self._led = True
                return True
            if entry.done is None:
                entry.turn = Turn()
                entry.turn.acquire()
            return False

    def _wait_for_turn(self, entry: QueuedCommit) -> None:
        """Block until the commit is decided or this thread has the lead."""
        turn = entry.turn
        assert turn is not None
        try:
            turn.acquire()
        except BaseException:
            # Interrupted. A commit that no group has taken yet is taken back; one that made this thread the
            # leader has no turn any more, and the lead goes to the next.
            with self._lock:
                waiting = entry in self._queue
                if waiting:
                    self._queue.remove(entry)
            if waiting and entry.turn is None:
                self._pass_on()
            raise

    def _lead_as_helper(self) -> bool:
        self._lead(may_wait=True)
        return False

    def _lead(self, *, may_wait: bool) -> None:
        """Write one group and pass the lead on; this thread has the lead."""
        if self._always_waits:
            self._gather()
        group = self._take_group()
        began = self._clock()
        try:
            afterwards = self._write(group, may_wait)
        except MustWait:
            self._queue.extendleft(reversed(group))
            raise
        except BaseException:
            # An interrupt may have come just after the COMMIT: what is undecided stays unknown.
            decide(group, FDBError(COMMIT_UNKNOWN_RESULT, "the commit was interrupted"))
            self._finish(group)
            raise
        self._write_seconds = self._clock() - began
        self._finish(group, afterwards)

    def _gather(self) -> None:
        """Wait for as many as there were last time, at most for half of what writing took then."""
        with self._arrived:
            crowd = min(self._crowd, GROUP_COMMITS)
            if len(self._queue) < crowd:
                self._arrived.wait_for(lambda: len(self._queue) >= crowd, self._write_seconds / 2)

    def _take_group(self) -> list[QueuedCommit]:
        """The next commits of the queue: at least one, unless its thread was interrupted."""
        group: list[QueuedCommit] = []
        size = 0
        with self._lock:
            while self._queue and len(group) < GROUP_COMMITS and size < GROUP_BYTES:
                entry = self._queue.popleft()
                group.append(entry)
                size += sum(len(key) + len(parameter) for _, key, parameter in entry.request.mutations)
        return group

    def _finish(self, group: Sequence[QueuedCommit], afterwards: Afterwards | None = None) -> None:
        """Let the threads of a decided group go on, pass the lead on, then tell those that do not wait."""
        self._crowd = len(group) + len(self._queue)
        for entry in group:
            if entry.turn is not None:
                entry.turn.release()
        self._pass_on()
        if afterwards is not None:
            afterwards()
        for entry in group:
            if entry.done is not None:
                assert entry.outcome is not None
                entry.done(entry.outcome)

    def _pass_on(self) -> None:
        with self._lock:
            if not self._queue:
                self._led = False
                self._idle.notify_all()
                return
            heir = self._queue[0]
            if heir.turn is not None:
                heir.turn.release()
                heir.turn = None  # its thread is awake: the group that decides it has nobody to wake
                return
        self._helper.wake()


def decide(entries: Sequence[QueuedCommit], outcome: FDBError) -> None:
    """Give this outcome to those that have none."""
    for entry in entries:
        if entry.outcome is None:
            entry.outcome = outcome


def _runs_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
