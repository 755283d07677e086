"""What a worker knows of the pending actions of a lane: those it may start, in order, and those that have to wait.

A lane is read once from its beginning to its end. What is kept is bounded by what can be started:

- actions with the same ordering key wait for each other: at most `KEY_ROOM` of a key are kept; if much is loaded, only
  the first one of those whose first one waits for its next attempt, or for a worker that knows its type;
- actions of a limited type wait for their limit: at most `TYPE_ROOM` of a type are kept.

Others are skipped, and it is noted where the skipped ones of each key and type begin. When there is room for some of
them, the lane is read a second time, for all that have room by then. So neither keys whose first actions keep failing,
however many, nor a type at its limit stand in the way of the others.
"""

from __future__ import annotations

import heapq
import itertools
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from fdb.tuple import Versionstamp

from phasm_fdb.runtime.work import Work

KEY_ROOM = 100
TYPE_ROOM = 1_000
#: So many works are kept that can be started, or wait behind one that can; and so many that wait for something else,
#: which take about a kilobyte each.
LANE_ROOM = 10_000
MOST_IDLE = 200_000

#: What waits together: ("key", ordering key) or ("type", action type).
Group = tuple[str, Any]


@dataclass(slots=True)
class SecondLook:
    """A second reading of the lane.

    Attributes:
        position: the row to read on from.
        groups: those for which works are taken in.
    """

    position: bytes
    groups: set[Group]


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
        self._keys: dict[bytes, list[Work]] = {}
        self._asleep: dict[bytes, None] = {}  # the keys whose first work waits, or is not known here
        self._waiting: list[tuple[int, int, Work]] = []
        self._order = itertools.count()
        self._loaded = self._idle = 0
        self._skipped: dict[Group, bytes] = {}  # from which row on a group was skipped
        self._held: dict[str, dict[Group, None]] = {}  # the keys that were skipped since a type has no room
        self._hungry: dict[Group, None] = {}  # the skipped groups that have room again
        self._look: SecondLook | None = None
        self.unknown: set[str] = set()

    # ------------------------------------------------------------------------------------------ filling

    @property
    def loaded(self) -> int:
        """How many works are kept."""
        return self._loaded

    def wants_more(self, wanted: int) -> bool:
        """Whether reading on in the lane may give what can be started at once."""
        has_room = self._loaded - self._idle < LANE_ROOM and self._idle < MOST_IDLE
        return has_room and len(self._ready[None]) < wanted

    def offer(self, work: Work) -> None:
        """Take a work that was read, in the order of the lane, or note that it was skipped."""
        group = self._group(work)
        if group is None and not self._is_known(work.tag):
            self.unknown.add(work.tag)
        elif group is None or (group not in self._skipped and self._has_room(group, work)):
            self._take_in(work)
        elif group not in self._skipped:
            self._skip(group, work)

    def second_look(self) -> bytes | None:
        """The row from which on to read the lane again, up to where it was read first; None if there is no need."""
        if self._look is None and self._hungry:
            groups = {group for group in self._hungry if group in self._skipped}
            self._hungry.clear()
            if groups:
                self._look = SecondLook(min(self._skipped[group] for group in groups), groups)
        return None if self._look is None else self._look.position

    def looked(self, works: Sequence[Work], more: bytes | None) -> None:
        """Take in what was read a second time.

        Args:
            more: where to read on; None at the end of what was read first.
        """
        look = self._look
        assert look is not None
        for work in works:
            group = self._group(work)
            if group is None or group not in look.groups or work.row < self._skipped[group]:
                continue
            if self._has_room(group, work):
                self._skipped[group] = work.row + b"\0"
                self._take_in(work)
            else:
                look.groups.discard(group)
                self._skip(group, work)
        if more is not None:
            look.position = more
            return
        self._look = None
        for group in look.groups:
            del self._skipped[group]
            self._forget_if_empty(group)

    def _group(self, work: Work) -> Group | None:
        if work.packed_key is not None:
            return ("key", work.packed_key)
        return ("type", work.tag) if self._is_limited(work.tag) and self._is_known(work.tag) else None

    def _has_room(self, group: Group, work: Work) -> bool:
        kind, name = group
        if kind == "key":
            queue = self._keys.get(name)
            if queue:
                return len(queue) < KEY_ROOM and not (name in self._asleep and self._is_full_of_followers)
        tag = work.tag
        return not (self._is_limited(tag) and self._is_known(tag)) or len(self._ready.get(tag, ())) < TYPE_ROOM

    @property
    def _is_full_of_followers(self) -> bool:
        """Whether so much is loaded that nothing more is kept of what waits behind works that wait themselves."""
        return self._loaded - self._idle > LANE_ROOM // 2

    def _skip(self, group: Group, work: Work) -> None:
        self._skipped[group] = work.row
        if group[0] == "key" and not self._keys.get(group[1]):
            self._held.setdefault(work.tag, {})[group] = None

    def _take_in(self, work: Work) -> None:
        self._loaded += 1
        if work.packed_key is None:
            self._make_ready(work)
            return
        queue = self._keys.setdefault(work.packed_key, [])
        queue.append(work)
        if len(queue) == 1:
            self._make_ready(work)

    def _make_ready(self, work: Work) -> None:
        """Put a work that nothing is in front of to where it waits for its turn, its time, or another worker."""
        if not self._is_known(work.tag):
            self.unknown.add(work.tag)
            self._put_to_sleep(work)
        elif work.progress.next_ms:
            heapq.heappush(self._waiting, (work.progress.next_ms, next(self._order), work))
            self._put_to_sleep(work)
        else:
            self._queue_of(work).append(work)

    def _put_to_sleep(self, work: Work) -> None:
        """Note that a work waits; if much is loaded, the works behind it are read again when it is done."""
        self._idle += 1
        if work.packed_key is None:
            return
        self._asleep[work.packed_key] = None
        queue, group = self._keys[work.packed_key], ("key", work.packed_key)
        if len(queue) > 1 and self._is_full_of_followers:
            self._skipped[group] = queue[1].row
            self._loaded -= len(queue) - 1
            del queue[1:]
            self._hungry.pop(group, None)
            if self._look is not None:
                self._look.groups.discard(group)

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
            self._idle -= 1
            if work.packed_key is not None:
                self._asleep.pop(work.packed_key, None)
            self._queue_of(work).append(work)
        for tag, queue in self._ready.items():
            if queue and (tag is None or not is_blocked(tag)):
                self._loaded -= 1
                work = queue.popleft()
                if tag is not None and len(queue) <= TYPE_ROOM // 2:
                    self._has_room_again(("type", tag), *self._held.pop(tag, ()))
                return work
        return None

    def put_back(self, work: Work) -> None:
        """A work that was taken cannot be started now, because of its type's limit."""
        self._loaded += 1
        self._queue_of(work).appendleft(work)

    def retry(self, work: Work) -> None:
        """A work that failed, and stays in its place in the lane, waits until its next attempt is due."""
        work.record = work.action = None  # it is read again when it is started
        self._loaded += 1
        self._make_ready(work)

    def leave(self, work: Work) -> None:
        """A work that was taken is left to newer code, as if its type were not known: its key waits."""
        self.unknown.add(f"{work.tag} in a newer form")
        work.record = work.action = None
        if work.packed_key is not None:
            self._loaded += 1
            self._put_to_sleep(work)

    def asleep(self, most: int) -> list[Work]:
        """Some of the works that wait in front of others of their ordering key; others each time, in turn."""
        keys = list(itertools.islice(self._asleep, most))
        for key in keys:
            del self._asleep[key]
            self._asleep[key] = None
        return [self._keys[key][0] for key in keys]

    def gone(self, work: Work) -> None:
        """A work that waits is out of the lane, since the machine cancelled it: the next one of its key may start."""
        key = work.packed_key
        if key is None or key not in self._asleep or self._keys[key][0] is not work:
            return  # it does not wait any more
        del self._asleep[key]
        self._idle -= 1
        self._loaded -= 1
        self._waiting = [one for one in self._waiting if one[2] is not work]
        heapq.heapify(self._waiting)
        self.done(work)

    def done(self, work: Work) -> None:
        """A work is out of the lane: the next one of its key may start."""
        if work.packed_key is None:
            return
        queue, group = self._keys[work.packed_key], ("key", work.packed_key)
        assert queue[0] is work, "of an ordering key only the first action is ever started"
        queue.pop(0)
        if queue:
            self._make_ready(queue[0])
        if len(queue) <= KEY_ROOM // 2:
            self._has_room_again(group)
        self._forget_if_empty(group)

    def _has_room_again(self, *groups: Group) -> None:
        for group in groups:
            is_looked_for = self._look is not None and group in self._look.groups
            if group in self._skipped and group[1] not in self._asleep and not is_looked_for:
                self._hungry[group] = None

    def _forget_if_empty(self, group: Group) -> None:
        if group[0] == "key" and group not in self._skipped and not self._keys.get(group[1], True):
            del self._keys[group[1]]
