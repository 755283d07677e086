"""Keys are ordered as bytes, and a range read gives them in that order, forwards or backwards."""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

Key = Callable[[bytes], bytes]

#: In byte order: a prefix is before what it begins, and bytes are unsigned.
NAMES = [
    b"\x00",
    b"\x00\x00",
    b"A",
    b"a",
    b"a\x00",
    b"a\x00\xff",
    b"a\x01",
    b"aa",
    b"a\xff",
    b"b",
    b"\x7f",
    b"\x80",
    b"\xfe\xff",
]


@pytest.fixture
def keys(database: Any, at: Key) -> list[bytes]:
    """`NAMES`, stored in a random order with their own last byte as value."""
    shuffled = random.Random(1).sample(NAMES, len(NAMES))
    tr = database.create_transaction()
    for name in shuffled:
        tr.set(at(name), name[-1:])
    tr.commit().wait()
    return [at(name) for name in NAMES]


def _keys(rows: Any) -> list[bytes]:
    return [bytes(row.key) for row in rows]


def test_a_range_comes_in_byte_order(database: Any, at: Key, keys: list[bytes]) -> None:
    rows = list(database.create_transaction().get_range(at(b""), at(b"\xff")))
    assert _keys(rows) == keys
    assert [bytes(row.value) for row in rows] == [name[-1:] for name in NAMES]


def test_reverse_is_the_same_rows_backwards(database: Any, at: Key, keys: list[bytes]) -> None:
    tr = database.create_transaction()
    assert _keys(tr.get_range(at(b""), at(b"\xff"), reverse=True)) == keys[::-1]
    assert _keys(tr[at(b"") : at(b"\xff") : -1]) == keys[::-1]


def test_the_begin_is_in_the_range_and_the_end_is_not(database: Any, at: Key, keys: list[bytes]) -> None:
    tr = database.create_transaction()
    for begin in range(len(keys)):
        for end in range(begin, len(keys)):
            assert _keys(tr.get_range(keys[begin], keys[end])) == keys[begin:end]


@pytest.mark.parametrize("limit", [1, 2, 5, len(NAMES), len(NAMES) + 1])
def test_a_limit_keeps_the_first_rows_of_the_direction(database: Any, at: Key, keys: list[bytes], limit: int) -> None:
    tr = database.create_transaction()
    assert _keys(tr.get_range(at(b""), at(b"\xff"), limit=limit)) == keys[:limit]
    assert _keys(tr.get_range(at(b""), at(b"\xff"), limit=limit, reverse=True)) == keys[::-1][:limit]


def test_a_limit_of_zero_or_less_is_none(database: Any, at: Key, keys: list[bytes]) -> None:
    tr = database.create_transaction()
    assert _keys(tr.get_range(at(b""), at(b"\xff"), limit=0)) == keys
    assert _keys(tr.get_range(at(b""), at(b"\xff"), limit=-1)) == keys


def test_startswith_reads_one_prefix(database: Any, at: Key, keys: list[bytes]) -> None:
    rows = database.create_transaction().get_range_startswith(at(b"a"))
    assert _keys(rows) == [at(name) for name in NAMES if name.startswith(b"a")]


def test_startswith_carries_over_a_last_byte_of_ff(database: Any, at: Key, keys: list[bytes]) -> None:
    assert _keys(database.create_transaction().get_range_startswith(at(b"a\xff"))) == [at(b"a\xff")]


def test_a_slice_is_a_range_and_an_index_is_a_get(database: Any, at: Key, keys: list[bytes]) -> None:
    tr = database.create_transaction()
    assert _keys(tr[at(b"a") : at(b"b")]) == [at(name) for name in NAMES if b"a" <= name < b"b"]
    assert bytes(tr[at(b"aa")].wait()) == b"a"


def test_every_streaming_mode_gives_the_same_rows(database: Any, at: Key, keys: list[bytes]) -> None:
    # want_all, iterator, small, medium, large, serial as fdb_c_options.g.h numbers them.
    for mode in (-2, -1, 1, 2, 3, 4):
        tr = database.create_transaction()
        assert _keys(tr.get_range(at(b""), at(b"\xff"), streaming_mode=mode)) == keys
        assert _keys(tr.get_range(at(b""), at(b"\xff"), limit=3, streaming_mode=mode)) == keys[:3]


def test_the_exact_mode_gives_its_limit(database: Any, at: Key, keys: list[bytes]) -> None:
    exact = 0
    rows = database.create_transaction().get_range(at(b""), at(b"\xff"), limit=4, streaming_mode=exact)
    assert _keys(rows) == keys[:4]


def test_a_long_range_comes_whole_and_in_order(database: Any, at: Key) -> None:
    names = [b"%05d" % number for number in range(3000)]
    random.Random(2).shuffle(names)
    tr = database.create_transaction()
    for name in names:
        tr.set(at(name), name * 3)
    tr.commit().wait()
    rows = list(database.create_transaction().get_range(at(b""), at(b"\xff")))
    assert len(rows) == 3000
    assert all(left.key < right.key for left, right in pairwise(rows))
    assert all(bytes(row.value) == bytes(row.key)[-5:] * 3 for row in rows)


def test_the_writes_of_a_transaction_are_merged_in_order(database: Any, at: Key, keys: list[bytes]) -> None:
    tr = database.create_transaction()
    tr.set(at(b"a\x00\x01"), b"new")
    tr.set(at(b"aa"), b"changed")
    tr.clear(at(b"b"))
    rows = {bytes(row.key): bytes(row.value) for row in tr.get_range(at(b"a"), at(b"\x80"))}
    names = [b"a", b"a\x00", b"a\x00\x01", b"a\x00\xff", b"a\x01", b"aa", b"a\xff", b"\x7f"]
    assert list(rows) == [at(name) for name in names]
    assert rows[at(b"aa")] == b"changed"
    assert rows[at(b"a\x00\x01")] == b"new"
    assert _keys(tr.get_range(at(b"a"), at(b"\x80"), limit=3, reverse=True)) == [
        at(b"\x7f"),
        at(b"a\xff"),
        at(b"aa"),
    ]


def test_an_empty_value_is_there_and_a_missing_one_is_none(database: Any, at: Key) -> None:
    database[at(b"empty")] = b""
    tr = database.create_transaction()
    assert bytes(tr.get(at(b"empty")).wait()) == b""
    assert not tr.get(at(b"missing")).present()
    assert _keys(tr.get_range(at(b""), at(b"\xff"))) == [at(b"empty")]
