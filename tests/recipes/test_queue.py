"""The queue recipe: first in, first out, with a random part in each key so that producers seldom conflict."""

from __future__ import annotations

import os
import threading
from typing import Any

import fdb.tuple

from phasm_fdb.database.transactional import transactional


class Queue:
    def __init__(self, space: Any) -> None:
        self.space = space

    @transactional
    def push(self, tr: Any, value: Any) -> None:
        # A snapshot read of the end does not conflict with other producers; the random bytes keep their keys apart.
        tr[self.space.pack((self._last_index(tr) + 1, os.urandom(8)))] = fdb.tuple.pack((value,))

    @transactional
    def pop(self, tr: Any) -> Any:
        """The oldest value, or None where there is none. Two consumers conflict: one of them takes the next."""
        for row in tr.get_range(*self._ends(), limit=1):
            del tr[row.key]
            return fdb.tuple.unpack(bytes(row.value))[0]
        return None

    @transactional
    def peek(self, tr: Any) -> Any:
        for row in tr.get_range(*self._ends(), limit=1):
            return fdb.tuple.unpack(bytes(row.value))[0]
        return None

    @transactional
    def clear(self, tr: Any) -> None:
        tr.clear_range(*self._ends())

    def _ends(self) -> tuple[bytes, bytes]:
        span = self.space.range()
        return span.start, span.stop

    def _last_index(self, tr: Any) -> int:
        for row in tr.snapshot.get_range(*self._ends(), limit=1, reverse=True):
            return int(self.space.unpack(bytes(row.key))[0])
        return -1


def test_first_in_first_out(database: Any, space: Any) -> None:
    queue = Queue(space)
    for value in ("alice", "bob", 3, None, ("a", 1)):
        queue.push(database, value)
    assert queue.peek(database) == "alice"
    assert [queue.pop(database) for _ in range(3)] == ["alice", "bob", 3]
    assert queue.pop(database) is None
    assert queue.pop(database) == ("a", 1)


def test_an_empty_queue_gives_none(database: Any, space: Any) -> None:
    queue = Queue(space)
    assert queue.pop(database) is None
    queue.push(database, 1)
    queue.clear(database)
    assert queue.peek(database) is None


def test_a_push_and_a_pop_in_one_transaction(database: Any, space: Any) -> None:
    queue = Queue(space)

    @transactional
    def rotate(tr: Any) -> None:
        queue.push(tr, queue.pop(tr))

    for value in range(3):
        queue.push(database, value)
    rotate(database)
    assert [queue.pop(database) for _ in range(4)] == [1, 2, 0, None]


def test_producers_do_not_conflict(database: Any, space: Any) -> None:
    queue = Queue(space)
    first, second = database.create_transaction(), database.create_transaction()
    queue.push(first, "first")
    queue.push(second, "second")
    first.commit().wait()
    second.commit().wait()
    assert {queue.pop(database), queue.pop(database)} == {"first", "second"}


def test_every_value_is_taken_once(database: Any, space: Any) -> None:
    queue = Queue(space)
    taken: list[int] = []

    def produce(first: int) -> None:
        for value in range(first, first + 10):
            queue.push(database, value)

    def consume() -> None:
        for _ in range(10):
            value = queue.pop(database)
            while value is None:
                value = queue.pop(database)
            taken.append(value)

    threads = [threading.Thread(target=produce, args=(start,)) for start in (0, 10, 20)]
    threads += [threading.Thread(target=consume) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == list(range(30))
