"""The multimap recipe: several values under one key, each counted by an atomic add that conflicts with nobody."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from phasm_fdb.database.transactional import transactional

ONE, MINUS_ONE = struct.pack("<q", 1), struct.pack("<q", -1)


class MultiMap:
    def __init__(self, space: Any) -> None:
        self.space = space

    @transactional
    def add(self, tr: Any, key: Any, value: Any) -> None:
        tr.add(self.space.pack((key, value)), ONE)

    @transactional
    def subtract(self, tr: Any, key: Any, value: Any) -> None:
        """Take away one of that value; the last one takes the row with it."""
        cell = self.space.pack((key, value))
        found = tr[cell]
        if found.present() and struct.unpack("<q", bytes(found))[0] > 1:
            tr.add(cell, MINUS_ONE)
        else:
            del tr[cell]

    @transactional
    def counts(self, tr: Any, key: Any) -> dict[Any, int]:
        rows = tr[self.space.range((key,))]
        return {self.space.unpack(bytes(row.key))[1]: struct.unpack("<q", bytes(row.value))[0] for row in rows}

    @transactional
    def contains(self, tr: Any, key: Any, value: Any) -> bool:
        return bool(tr[self.space.pack((key, value))].present())


@pytest.fixture
def multimap(space: Any) -> MultiMap:
    return MultiMap(space)


def test_values_are_counted(database: Any, multimap: MultiMap) -> None:
    for value in ("red", "blue", "red", 7):
        multimap.add(database, "k", value)
    multimap.add(database, "other", "red")
    assert multimap.counts(database, "k") == {"blue": 1, "red": 2, 7: 1}
    assert multimap.contains(database, "k", "red")
    assert not multimap.contains(database, "k", "green")


def test_the_last_one_removes_the_value(database: Any, multimap: MultiMap) -> None:
    multimap.add(database, "k", "red")
    multimap.add(database, "k", "red")
    multimap.subtract(database, "k", "red")
    assert multimap.counts(database, "k") == {"red": 1}
    multimap.subtract(database, "k", "red")
    multimap.subtract(database, "k", "red")
    assert multimap.counts(database, "k") == {}


def test_adds_of_one_value_do_not_conflict(database: Any, multimap: MultiMap) -> None:
    transactions = [database.create_transaction() for _ in range(5)]
    for tr in transactions:
        tr.get_read_version().wait()
        multimap.add(tr, "k", "red")
    for tr in transactions:
        tr.commit().wait()
    assert multimap.counts(database, "k") == {"red": 5}
