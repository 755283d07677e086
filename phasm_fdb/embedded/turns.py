"""Turns on contended keys: transactions that lost a commit to each other go on one by one, in the order they came.

A random delay, as a cluster's client has it, spreads few contenders; with hundreds on one key nearly every attempt is
in vain, and more load is less work. Here the store knows the key that a commit lost (1020). Its transaction waits in
the queue of that key, and `on_error` is ready when the one before it has committed, or has given up. Its next attempt
begins then, and reads what that one wrote.

A turn lasts at most `TURN_SECONDS`: who hangs, is dropped or is slow keeps nobody for longer, and can still commit. A
transaction has one turn at a time, so none waits for another in a circle. Who has none, and has read a key that others
queue for, does not overtake them: its commit loses at once. Other processes on the same file know nothing of the queue;
who loses its key to one of them while it has the turn keeps it, and waits for a random delay.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable

from phasm_fdb.embedded.future import Future
from phasm_fdb.embedded.store import CommitRequest
from phasm_fdb.embedded.timing import Time
from phasm_fdb.errors import FDBError

TURN_SECONDS = 0.25
"""How long a turn lasts if its transaction does not end it before."""

MANY_QUEUES = 1000
"""From so many queues on, those that were left behind are looked for."""


class Turn(Future[None]):
    """A place in the queue for a key; ready when it is its turn.

    Attributes:
        key: the key, or the begin of the range, that was lost.
    """

    __slots__ = ("_turns", "key")

    def __init__(self, turns: Turns, key: bytes) -> None:
        super().__init__(pending=True)
        self._turns = turns
        self.key = key

    def time_out(self, error: FDBError) -> None:
        """Stop waiting."""
        self.settle(error=error)

    def _before_blocking(self) -> None:
        self._turns.block(self)


class _Queue:
    """Who has the turn, until when, and who waits for it."""

    __slots__ = ("holder", "until", "waiting")

    def __init__(self) -> None:
        self.holder: Turn | None = None
        self.until = 0.0
        self.waiting: deque[Turn] = deque()


class Turns:
    """The queues of one database."""

    def __init__(self, time: Time) -> None:
        self._time = time
        self._lock = threading.Lock()
        self._queues: dict[bytes, _Queue] = {}
        self._is_looking = False

    def enter(self, turn: Turn) -> None:
        """Queue for the turn's key."""
        key = turn.key
        with self._lock:
            queue = self._queues.get(key)
            if queue is None:
                self._forget_dropped()
                queue = self._queues[key] = _Queue()
            queue.waiting.append(turn)
            following = self._following(key, queue)
            if queue.waiting:
                self._look_later()
        self._give(following)

    def leave(self, turn: Turn) -> None:
        """End a turn, or stop waiting for it."""
        following = None
        with self._lock:
            queue = self._queues.get(turn.key)
            if queue is None:
                return
            if queue.holder is turn:
                queue.holder = None
                following = self._following(turn.key, queue)
            elif turn in queue.waiting:
                queue.waiting.remove(turn)
        self._give(following)

    def barred(self, request: CommitRequest) -> bytes | None:
        """What a commit without a turn has read although others queue for it, if anything."""
        if not self._queues:
            return None
        read: Iterable[bytes] = [*request.read_keys, *(begin for begin, _ in request.read_ranges)]
        return min((key for key in read if key in self._queues and self._is_waited_for(key)), default=None)

    def block(self, turn: Turn) -> None:
        """What a thread does before it blocks for its turn.

        Where time is injected nobody else moves it while this thread blocks: the turn before it passes by then.
        """
        if self._time.is_real:
            return
        self._time.sleep(TURN_SECONDS)
        self._look()
        self.leave(turn)
        turn.settle()

    def _is_waited_for(self, key: bytes) -> bool:
        queue = self._queues.get(key)
        return queue is not None and len(queue.waiting) > 0

    def _following(self, key: bytes, queue: _Queue) -> Turn | None:
        """Give the turn to the first that waits, if nobody has it any more; the lock is held."""
        now = self._time.clock()
        if queue.holder is not None and now < queue.until:
            return None
        # Each step leaves the queue whole, should an interrupt come: who has the turn is told until it is ready.
        if queue.holder is not None and not queue.holder.is_ready():
            return queue.holder
        while queue.waiting:
            turn = queue.waiting[0]
            queue.holder, queue.until = turn, now + TURN_SECONDS
            del queue.waiting[0]
            if not turn.is_ready():  # else it was cancelled
                return turn
        del self._queues[key]
        return None

    def _forget_dropped(self) -> None:
        """Drop queues in which nobody waits, and whose last turn was never ended: its transaction was dropped."""
        if len(self._queues) >= MANY_QUEUES:
            now = self._time.clock()
            for key, queue in list(self._queues.items()):
                if not queue.waiting and now >= queue.until:
                    del self._queues[key]

    def _give(self, turn: Turn | None) -> None:
        """Tell a transaction that its turn has come; the lock is not held, for this may call anything."""
        if turn is not None and not turn.settle():
            self.leave(turn)  # cancelled just now

    def _look(self) -> None:
        """Pass on the turns that have lasted too long."""
        with self._lock:
            self._is_looking = False
            following = [self._following(key, queue) for key, queue in list(self._queues.items())]
            if any(queue.waiting for queue in self._queues.values()):
                self._look_later()
        for turn in following:
            self._give(turn)

    def _look_later(self) -> None:
        if not self._is_looking:
            self._time.call_later(TURN_SECONDS, self._look)
            self._is_looking = True
