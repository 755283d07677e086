"""The priority queue recipe: the lowest priority number first, and first in, first out among equals."""

from __future__ import annotations

import os
from typing import Any

import fdb.tuple

from phasm_fdb.database.transactional import transactional


class PriorityQueue:
    def __init__(self, space: Any) -> None:
        self.space = space

    @transactional
    def push(self, tr: Any, value: Any, priority: int) -> None:
        key = self.space.pack((priority, self._next_count(tr, priority), os.urandom(8)))
        tr[key] = fdb.tuple.pack((value,))

    @transactional
    def pop(self, tr: Any, *, highest: bool = False) -> Any:
        """The value of the lowest (or highest) priority, or None."""
        span = self.space.range()
        for row in tr.get_range(span.start, span.stop, limit=1, reverse=highest):
            del tr[row.key]
            return fdb.tuple.unpack(bytes(row.value))[0]
        return None

    def _next_count(self, tr: Any, priority: int) -> int:
        span = self.space.range((priority,))
        for row in tr.snapshot.get_range(span.start, span.stop, limit=1, reverse=True):
            return int(self.space.unpack(bytes(row.key))[1]) + 1
        return 0


def test_the_lowest_priority_comes_first(database: Any, space: Any) -> None:
    queue = PriorityQueue(space)
    for value, priority in [("low", 10), ("urgent", -5), ("normal", 3), ("later", 1000)]:
        queue.push(database, value, priority)
    assert [queue.pop(database) for _ in range(5)] == ["urgent", "normal", "low", "later", None]


def test_equals_come_in_their_order(database: Any, space: Any) -> None:
    queue = PriorityQueue(space)
    for number in range(12):
        queue.push(database, number, 7)
    assert [queue.pop(database) for _ in range(12)] == list(range(12))


def test_it_can_be_taken_from_the_other_end(database: Any, space: Any) -> None:
    queue = PriorityQueue(space)
    for priority in (5, 1, 9):
        queue.push(database, priority, priority)
    assert queue.pop(database, highest=True) == 9
    assert queue.pop(database) == 1
