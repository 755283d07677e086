"""The vector recipe: a sparse list; its size is the last key, and what was never set reads as the default."""

from __future__ import annotations

from typing import Any

import fdb.tuple
import pytest

from phasm_fdb.database.transactional import transactional


class Vector:
    def __init__(self, space: Any, default: Any = 0) -> None:
        self.space = space
        self.default = default

    @transactional
    def size(self, tr: Any) -> int:
        span = self.space.range()
        for row in tr.get_range(span.start, span.stop, limit=1, reverse=True):
            return int(self.space.unpack(bytes(row.key))[0]) + 1
        return 0

    @transactional
    def get(self, tr: Any, index: int) -> Any:
        found = tr[self.space.pack((index,))]
        if found.present():
            return fdb.tuple.unpack(bytes(found))[0]
        if 0 <= index < self.size(tr):
            return self.default
        raise IndexError(index)

    @transactional
    def set(self, tr: Any, index: int, value: Any) -> None:
        tr[self.space.pack((index,))] = fdb.tuple.pack((value,))

    @transactional
    def push(self, tr: Any, value: Any) -> None:
        self.set(tr, self.size(tr), value)

    @transactional
    def pop(self, tr: Any) -> Any:
        """The last value, taken away; what lies before it stays the end of the vector, set or not."""
        size = self.size(tr)
        if not size:
            return None
        value = self.get(tr, size - 1)
        del tr[self.space.pack((size - 1,))]
        if size > 1 and not tr[self.space.pack((size - 2,))].present():
            self.set(tr, size - 2, self.default)
        return value

    @transactional
    def resize(self, tr: Any, size: int) -> None:
        tr.clear_range(self.space.pack((size,)), self.space.range().stop)
        if size and self.size(tr) < size:
            self.set(tr, size - 1, self.default)

    @transactional
    def to_list(self, tr: Any) -> list[Any]:
        values = [self.default] * self.size(tr)
        for row in tr[self.space.range()]:
            (index,) = self.space.unpack(bytes(row.key))
            (values[index],) = fdb.tuple.unpack(bytes(row.value))
        return values


@pytest.fixture
def vector(space: Any) -> Vector:
    return Vector(space)


def test_push_get_set_pop(database: Any, vector: Vector) -> None:
    for value in (1, "two", 3):
        vector.push(database, value)
    vector.set(database, 1, 2)
    assert vector.to_list(database) == [1, 2, 3]
    assert vector.get(database, 2) == 3
    assert vector.pop(database) == 3
    assert vector.size(database) == 2


def test_it_is_sparse(database: Any, vector: Vector) -> None:
    vector.set(database, 5, "six")
    assert vector.to_list(database) == [0, 0, 0, 0, 0, "six"]
    assert len(list(database.create_transaction()[vector.space.range()])) == 1
    assert vector.get(database, 2) == 0
    with pytest.raises(IndexError):
        vector.get(database, 6)


def test_a_pop_over_a_gap_keeps_the_size(database: Any, vector: Vector) -> None:
    vector.set(database, 3, "four")
    assert vector.pop(database) == "four"
    assert vector.to_list(database) == [0, 0, 0]


def test_resize(database: Any, vector: Vector) -> None:
    for value in range(5):
        vector.push(database, value)
    vector.resize(database, 2)
    assert vector.to_list(database) == [0, 1]
    vector.resize(database, 4)
    assert vector.to_list(database) == [0, 1, 0, 0]
    vector.resize(database, 0)
    assert vector.pop(database) is None


def test_two_pushes_conflict_so_none_is_lost(database: Any, vector: Vector) -> None:
    first, second = database.create_transaction(), database.create_transaction()
    vector.push(first, "first")
    vector.push(second, "second")
    first.commit().wait()
    with pytest.raises(Exception, match="1020"):
        second.commit().wait()
    assert vector.to_list(database) == ["first"]
