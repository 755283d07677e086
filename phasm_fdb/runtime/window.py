"""What a worker knows of the pending actions of a lane: those it may start, in order, and those that have to wait.

The window is bounded. A lane is read once from its beginning to its end; what cannot be kept because too much of its
kind waits already is skipped, and read again later from the place that was noted:

- actions with the same ordering key wait for each other: at most `KEY_ROOM` of a key are kept;
- actions of a limited type wait for their limit: at most `TYPE_ROOM` of a type are kept.

So neither a key whose first action keeps failing nor a type at its limit stands in the way of the others.
"""

from __future__ import annotations

import heapq
import itertools
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from fdb.tuple import Versionstamp

from phasm_fdb.runtime.work import Work

KEY_ROOM = 100
TYPE_ROOM = 1_000
LANE_ROOM = 10_000

#: What waits together: ("key", ordering key) or ("type", action type).
Group = tuple[str, Any]


class Window:
    """The works of one lane that are loaded and do not run.

    Args:
        is_limited: whether an action type has a limit across workers.
        is_known: whether this worker can run an action type.
    """

    def __init__(self, is_limited: Callable[[str], bool], is_known: Callable[[str], bool]) -> None:
        self._is_limited = is_limited
        self._is_known = is_known
        self._ready: dict[str | None, deque[Work]] = {None: deque()}
        self._keys: dict[bytes, deque[Work]] = {}
        self._waiting: list[tuple[int, int, Work]] = []
        self._order = itertools.count()
        self._loaded = 0
        self.resume: dict[Group, bytes] = {}
        self.unknown: set[str] = set()

    # ------------------------------------------------------------------------------------------ filling

    @property
    def loaded(self) -> int:
        """How many works are kept."""
        return self._loaded

    def wants_more(self, wanted: int) -> bool:
        """Whether reading on in the lane may give what can be started at once."""
        return len(self._ready[None]) < wanted and self._loaded < LANE_ROOM

    def hungry(self) -> Iterator[Group]:
        """The groups of which works were skipped, and which have room for them now."""
        for group in list(self.resume):
            if self._count(group) <= self._room(group) // 2:
                yield group

    def offer(self, work: Work, only: Group | None = None) -> bool:
        """Take a work that was read, in the order of the lane.

        Args:
            only: it was read again for this group, and others of its kind have been seen before.

        Returns:
            False if there is no room for it: reading for `only` stops here.
        """
        group = self._group(work)
        if only is not None and group != only:
            return True
        if group is None and not self._is_known(work.tag):
            self.unknown.add(work.tag)
            return True
        if group is not None and only is None and group in self.resume:
            return False
        if group is not None and self._count(group) >= self._room(group):
            self.resume[group] = work.row
            return False
        self._loaded += 1
        if work.packed_key is None:
            self._make_ready(work)
            return True
        queue = self._keys.setdefault(work.packed_key, deque())
        queue.append(work)
        if len(queue) == 1:
            self._make_ready(work)
        return True

    def _group(self, work: Work) -> Group | None:
        if work.packed_key is not None:
            return ("key", work.packed_key)
        return ("type", work.tag) if self._is_limited(work.tag) and self._is_known(work.tag) else None

    def _count(self, group: Group) -> int:
        kind, name = group
        return len(self._keys.get(name, ()) if kind == "key" else self._ready.get(name, ()))

    @staticmethod
    def _room(group: Group) -> int:
        return KEY_ROOM if group[0] == "key" else TYPE_ROOM

    def _make_ready(self, work: Work) -> None:
        if not self._is_known(work.tag):
            self.unknown.add(work.tag)  # its key waits until a worker that knows the type has the lane
        elif work.progress.next_ms:
            heapq.heappush(self._waiting, (work.progress.next_ms, next(self._order), work))
        else:
            self._queue_of(work).append(work)

    def _queue_of(self, work: Work) -> deque[Work]:
        return self._ready.setdefault(work.tag if self._is_limited(work.tag) else None, deque())

    # ----------------------------------------------------------------------------------------- emptying

    def next_due_ms(self) -> int | None:
        """When the first of those that wait for their next attempt is due."""
        return self._waiting[0][0] if self._waiting else None

    def oldest(self) -> Versionstamp | None:
        """The versionstamp of the oldest work that is kept."""
        queues = [*self._ready.values(), *self._keys.values()]
        heads = [queue[0].since for queue in queues if queue] + [work.since for _, _, work in self._waiting]
        return min(heads, default=None)

    def take(self, now_ms: int, is_blocked: Callable[[str], bool]) -> Work | None:
        """The next work to start; None if there is none. It is out of the window until it is put back or done.

        Args:
            is_blocked: whether a limited type is known to be at its limit.
        """
        while self._waiting and self._waiting[0][0] <= now_ms:
            work = heapq.heappop(self._waiting)[2]
            self._queue_of(work).append(work)
        for tag, queue in self._ready.items():
            if queue and (tag is None or not is_blocked(tag)):
                self._loaded -= 1
                return queue.popleft()
        return None

    def put_back(self, work: Work) -> None:
        """A work that was taken cannot be started now, because of its type's limit."""
        self._loaded += 1
        self._queue_of(work).appendleft(work)

    def retry(self, work: Work) -> None:
        """A work with an ordering key that failed waits in its place until its next attempt is due."""
        self._loaded += 1
        self._make_ready(work)

    def done(self, work: Work) -> None:
        """A work is out of the lane: the next one of its key may start."""
        if work.packed_key is None:
            return
        queue = self._keys[work.packed_key]
        assert queue[0] is work, "of an ordering key only the first action is ever started"
        queue.popleft()
        if queue:
            self._make_ready(queue[0])
        elif ("key", work.packed_key) not in self.resume:
            del self._keys[work.packed_key]
