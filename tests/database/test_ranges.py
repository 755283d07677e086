"""Range reads: the same rows from every database, and from the binding without ever blocking in its iterator."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest

from phasm_fdb.database.ranges import SERIAL, Row, rows

KEYS = [b"k%03d" % number for number in range(40)]


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("limit", [0, 1, 7, 39, 40, 41])
def test_the_rows_of_a_range(db: Any, subspace: Any, limit: int, reverse: bool) -> None:
    begin, end = subspace.key(), subspace.key() + b"\xff"
    tr = db.create_transaction()
    for key in KEYS:
        tr.set(begin + key, key * 200)  # more than one batch
    tr.commit().wait()
    expected: list[Row] = [(begin + key, key * 200) for key in sorted(KEYS, reverse=reverse)]
    read = list(rows(db.create_transaction(), begin, end, limit, reverse))
    assert read == expected[: limit or None]
    assert all(type(part) is bytes for row in read for part in row)


def test_an_empty_range(db: Any, subspace: Any) -> None:
    begin, end = subspace.key(), subspace.key() + b"\xff"
    assert list(rows(db.create_transaction(), begin, end)) == []
    assert list(rows(db.create_transaction().snapshot, begin, end, limit=3, reverse=True)) == []


# ------------------------------------------------------------------------------- as the binding does it


class KeyValue:
    def __init__(self, key: bytes) -> None:
        self.key, self.value = key, b"v" + key


class Batch:
    """The future of a batch, which counts how often it was waited for."""

    def __init__(self, result: tuple[list[KeyValue], int, bool]) -> None:
        self._result = result
        self.waited = 0

    def is_ready(self) -> bool:
        return True

    def wait(self) -> tuple[list[KeyValue], int, bool]:
        self.waited += 1
        return self._result


class Range:
    """A range of the binding: its iterator would block the thread."""

    def __init__(self, future: Batch) -> None:
        self._future = future

    def __iter__(self) -> Iterator[KeyValue]:
        raise AssertionError("the binding's own iterator blocks")


class Reader:
    """A transaction that answers three rows at a time."""

    def __init__(self) -> None:
        self.asked: list[tuple[bytes, bytes, int, bool, int]] = []
        self.batches: list[Batch] = []

    def get_range(
        self, begin: bytes, end: bytes, limit: int = 0, reverse: bool = False, streaming_mode: int = -1
    ) -> Range:
        self.asked.append((begin, end, limit, reverse, streaming_mode))
        found = [key for key in sorted(KEYS, reverse=reverse) if begin <= key < end][: limit or None]
        batch = [KeyValue(key) for key in found[:3]]
        self.batches.append(Batch((batch, len(batch), len(found) > 3)))
        return Range(self.batches[-1])


@pytest.mark.parametrize(("limit", "reverse"), [*itertools.product([0, 1, 3, 4, 6, 20], [False, True])])
def test_the_bindings_batches_follow_each_other(limit: int, reverse: bool) -> None:
    reader = Reader()
    expected = sorted(KEYS[2:30], reverse=reverse)[: limit or None]
    assert [key for key, _ in rows(reader, KEYS[2], KEYS[30], limit, reverse)] == expected
    assert len(reader.asked) == -(-len(expected) // 3)
    assert all(batch.waited == 1 for batch in reader.batches)


def test_the_next_batch_is_asked_for_while_the_last_row_is_in_use() -> None:
    reader = Reader()
    read = rows(reader, KEYS[0], KEYS[9])
    assert len(reader.asked) == 1  # at once, before the first row
    next(read), next(read)
    assert len(reader.asked) == 1
    next(read)
    assert reader.asked[1] == (KEYS[2] + b"\0", KEYS[9], 0, False, SERIAL)
    assert reader.batches[1].waited == 0
