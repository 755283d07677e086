"""The queue of commits to one file, written in groups: one SQLite transaction and one fsync for many commits.

A thread that commits while nobody else does writes its commit itself, and hands nothing to another. Where several
commit at once, their commits go into a queue, and a helper thread writes all that is there as one group. Where writing
a group waits for an fsync, the helper gives those that were just served a moment to come back: else half of the
threads would wait for the fsync of the other half, in turn.

A thread that runs an event loop must not block for the disk. It writes its commit itself only if that can be done
without waiting; else the helper does.

An exception can come between any two steps of a thread that commits: a signal's handler raises in the main thread, and
an asynchronous exception in any. Nobody else may notice. So what such a thread does for others, or could keep from
them, is nothing but this: it puts its own commit into the queue, which is one step, and it holds one lock, by `with`,
while it writes its own commit and no other. The commits of others are decided by the helper, where no signal comes.
"""

from __future__ import annotations

import asyncio
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue

from phasm_fdb.embedded.helper_thread import HelperThread
from phasm_fdb.embedded.store import CommitDone, CommitRequest, Committed
from phasm_fdb.error_codes import COMMIT_UNKNOWN_RESULT
from phasm_fdb.errors import FDBError

GROUP_COMMITS = 1000
GROUP_BYTES = 10_000_000
"""A group takes no more commits than this, nor more once its mutations have these bytes."""


class QueuedCommit:
    """A commit in the queue.

    Attributes:
        request: what to commit.
        since: the version that it read; of no meaning without a snapshot.
        taken_at: when it took that version, in versions.
        done: whom to tell the outcome.
        outcome: None until it is decided.
    """

    __slots__ = ("done", "outcome", "request", "since", "taken_at")

    def __init__(self, request: CommitRequest, since: int, taken_at: int, done: CommitDone) -> None:
        self.request = request
        self.since = since
        self.taken_at = taken_at
        self.done = done
        self.outcome: Committed | FDBError | None = None


class MustWait(Exception):
    """The group cannot be written without waiting, and the caller said that it may not wait."""


Afterwards = Callable[[], None]
"""What is to be done when a group is decided and the next can be written: it may call anything, and commit too."""

WriteGroup = Callable[[Sequence[QueuedCommit], bool], Afterwards]
"""Decides every commit of a group. Told whether it may wait; raises MustWait, having done nothing, if not."""


class CommitQueue:
    """Brings commits to `write` in groups.

    Args:
        write: writes one group; never called by two threads at once. What it does must be right for others whatever
            asynchronous exception it is left by.
        always_waits: whether writing a group always waits (for an fsync).
        clock: seconds; measures how long that is.
    """

    def __init__(self, write: WriteGroup, *, always_waits: bool, clock: Callable[[], float] = time.monotonic) -> None:
        self._write = write
        self._always_waits = always_waits
        self._clock = clock
        self._queue: SimpleQueue[QueuedCommit] = SimpleQueue()
        self._writing = threading.Lock()
        self._crowd = 1
        """How many were in the last group, or waited when it was done."""
        self._write_seconds = 0.0
        self._helper = HelperThread("phasm-commit", self._write_queued)
        self._closed = False

    def commit(self, request: CommitRequest, since: int, taken_at: int, done: CommitDone) -> None:
        """Commit, or queue it; in a thread without an event loop, `done` has been told when this returns."""
        in_loop = _runs_event_loop()
        entry = QueuedCommit(request, since, taken_at, done)
        if self._write_alone(entry, in_loop):
            assert entry.outcome is not None
            done(entry.outcome)
        elif in_loop:
            self._enqueue(entry)
        else:
            decided: SimpleQueue[Committed | FDBError] = SimpleQueue()
            entry.done = decided.put
            self._enqueue(entry)
            done(decided.get())

    @property
    def waiting(self) -> int:
        """How many commits no group has taken yet."""
        return self._queue.qsize()

    def close(self) -> None:
        """Decide everything that is queued, and end the helper thread. What comes later decides its writer."""
        self._closed = True
        self._helper.stop()
        self._write_queued()

    def _enqueue(self, entry: QueuedCommit) -> None:
        self._queue.put(entry)
        if self._closed:  # the helper may have gone without having seen it
            self._write_queued()
        else:
            self._helper.wake()

    def _write_alone(self, entry: QueuedCommit, in_loop: bool) -> bool:
        """Write this one commit, if nobody else is about to write; returns whether it is decided."""
        if self._crowd > 1 or not self._queue.empty() or (in_loop and self._always_waits) or self._writing.locked():
            return False
        # Another thread may take the lock right now: then a loop waits for that one write.
        with self._writing:
            began = self._clock()
            try:
                afterwards = self._write([entry], not in_loop)
            except MustWait:
                return False
            self._write_seconds = self._clock() - began
            self._crowd = 1 + self._queue.qsize()
        afterwards()
        return True

    def _write_queued(self) -> bool:
        """Write all that is queued, group by group."""
        while not self._queue.empty():
            group: list[QueuedCommit] = []
            afterwards: Afterwards = _nothing
            try:
                with self._writing:
                    self._take_group(group)
                    if group:
                        began = self._clock()
                        afterwards = self._write(group, True)
                        self._write_seconds = self._clock() - began
                    self._crowd = len(group) + self._queue.qsize()
            except Exception:  # there is nobody to raise it to
                traceback.print_exc()
            finally:
                # What was left undecided by an error, or an interrupt, may have been written: it was perhaps behind
                # the COMMIT.
                decide(group, FDBError(COMMIT_UNKNOWN_RESULT, "the commit ended in an unexpected error"))
                _tell(group, afterwards)
        return False

    def _take_group(self, group: list[QueuedCommit]) -> None:
        """Move the next commits from the queue into `group`.

        Where that saves an fsync it waits for as many as there were last time, at most for half of what writing took
        then.
        """
        size = 0
        crowd = min(self._crowd, GROUP_COMMITS) if self._always_waits and not self._closed else 0
        until = self._clock() + self._write_seconds / 2
        while len(group) < GROUP_COMMITS and size < GROUP_BYTES:
            patience = until - self._clock() if len(group) < crowd else 0.0
            try:
                group.append(self._queue.get(patience > 0, max(patience, 0.0)))
            except Empty:
                break
            size += sum(len(key) + len(parameter) for _, key, parameter in group[-1].request.mutations)


def decide(entries: Sequence[QueuedCommit], outcome: FDBError) -> None:
    """Give this outcome to those that have none."""
    for entry in entries:
        if entry.outcome is None:
            entry.outcome = outcome


def _tell(group: Sequence[QueuedCommit], afterwards: Afterwards) -> None:
    """Tell everybody of a decided group, whatever becomes of one of them."""
    for entry in group:
        try:
            entry.done(entry.outcome)  # type: ignore[arg-type]
        except Exception:
            traceback.print_exc()
    afterwards()


def _nothing() -> None:
    """Nothing is to be done."""


def _runs_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
