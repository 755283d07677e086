"""How long keys, values and transactions may be, and which keys a transaction may touch.

A write of the wrong size or place does not raise by itself: the error is kept, and the next read or the
commit raises it.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest

Key = Callable[[bytes], bytes]
Fails = Callable[[int], AbstractContextManager[None]]

LONGEST_KEY = 10_000
LONGEST_VALUE = 100_000
TOO_LARGE, KEY_TOO_LONG, VALUE_TOO_LONG, OUTSIDE, INVERTED = 2101, 2102, 2103, 2004, 2005


def test_the_longest_key_and_value_are_stored(database: Any, at: Key) -> None:
    key = at(b"k").ljust(LONGEST_KEY, b"k")
    tr = database.create_transaction()
    tr.set(key, b"v" * LONGEST_VALUE)
    tr.commit().wait()
    tr = database.create_transaction()
    assert len(tr.get(key).wait()) == LONGEST_VALUE


def test_one_byte_more_of_key_is_refused(database: Any, at: Key, fails: Fails) -> None:
    key = at(b"k").ljust(LONGEST_KEY + 1, b"k")
    tr = database.create_transaction()
    tr.set(key, b"v")
    with fails(KEY_TOO_LONG):
        tr.commit().wait()
    tr = database.create_transaction()
    tr.set(key, b"v")
    with fails(KEY_TOO_LONG):
        tr.get(at(b"other")).wait()


def test_one_byte_more_of_value_is_refused(database: Any, at: Key, fails: Fails) -> None:
    tr = database.create_transaction()
    tr.set(at(b"k"), b"v" * (LONGEST_VALUE + 1))
    with fails(VALUE_TOO_LONG):
        tr.commit().wait()
    assert not database.create_transaction().get(at(b"k")).present()


def test_a_refused_write_takes_the_others_with_it(database: Any, at: Key, fails: Fails) -> None:
    tr = database.create_transaction()
    tr.set(at(b"good"), b"v")
    tr.set(at(b"bad"), b"v" * (LONGEST_VALUE + 1))
    tr.set(at(b"also good"), b"v")
    with fails(VALUE_TOO_LONG):
        tr.commit().wait()
    assert list(database.create_transaction().get_range(at(b""), at(b"\xff"))) == []


def test_a_transaction_over_ten_megabytes_is_refused(database: Any, at: Key, fails: Fails) -> None:
    tr = database.create_transaction()
    for number in range(101):
        tr.set(at(b"%03d" % number), b"v" * LONGEST_VALUE)
    with fails(TOO_LARGE):
        tr.commit().wait()
    assert list(database.create_transaction().get_range(at(b""), at(b"\xff"))) == []


def test_size_limit_lowers_the_bound(database: Any, at: Key, fails: Fails) -> None:
    tr = database.create_transaction()
    tr.options.set_size_limit(1000)
    for number in range(20):
        tr.set(at(b"%03d" % number), b"v" * 100)
    with fails(TOO_LARGE):
        tr.commit().wait()


def test_system_keys_are_outside(database: Any, fails: Fails) -> None:
    writes: list[Callable[[Any], None]] = [
        lambda tr: tr.set(b"\xff/x", b"v"),
        lambda tr: tr.clear(b"\xff"),
        lambda tr: tr.clear_range(b"\xfe", b"\xff\xff"),
        lambda tr: tr.add(b"\xff/x", b"\x01"),
    ]
    for write in writes:
        tr = database.create_transaction()
        write(tr)
        with fails(OUTSIDE):
            tr.commit().wait()
    with fails(OUTSIDE):
        database.create_transaction().get(b"\xff/x").wait()
    with fails(OUTSIDE):
        list(database.create_transaction().get_range(b"a", b"\xff\xff"))


def test_ff_itself_ends_a_range(database: Any, at: Key) -> None:
    database[at(b"last")] = b"v"
    tr = database.create_transaction()
    assert at(b"last") in [bytes(row.key) for row in tr.get_range(at(b"last"), b"\xff")]


def test_an_inverted_range_is_empty_to_read_and_an_error_to_write(database: Any, at: Key, fails: Fails) -> None:
    database[at(b"a")] = b"v"
    tr = database.create_transaction()
    assert list(tr.get_range(at(b"b"), at(b"a"))) == []
    tr.clear_range(at(b"b"), at(b"a"))
    with fails(INVERTED):
        tr.commit().wait()
    tr = database.create_transaction()
    with fails(INVERTED):
        tr.add_read_conflict_range(at(b"b"), at(b"a"))
    with fails(INVERTED):
        tr.add_write_conflict_range(at(b"b"), at(b"a"))


def test_an_empty_range_is_no_error(database: Any, at: Key) -> None:
    database[at(b"a")] = b"v"
    tr = database.create_transaction()
    tr.clear_range(at(b"a"), at(b"a"))
    assert list(tr.get_range(at(b"a"), at(b"a"))) == []
    tr.commit().wait()
    assert bytes(database[at(b"a")]) == b"v"


def test_the_approximate_size_counts_reads_and_writes(database: Any) -> None:
    """The numbers are a cluster's, with keys of exactly these lengths; nothing is committed."""
    tr = database.create_transaction()
    assert tr.get_approximate_size().wait() == 0
    tr.set(b"key", b"value")
    assert tr.get_approximate_size().wait() == 83
    tr.get(b"key2").wait()
    assert tr.get_approximate_size().wait() == 116
    tr.clear_range(b"x", b"y")
    assert tr.get_approximate_size().wait() == 188
    tr.add(b"n", b"\x01")
    assert tr.get_approximate_size().wait() == 261


def test_split_points_begin_and_end_with_the_range(database: Any, at: Key) -> None:
    tr = database.create_transaction()
    points = [bytes(key) for key in tr.get_range_split_points(at(b"a"), at(b"b"), 1_000_000).wait()]
    assert points[0] == at(b"a")
    assert points[-1] == at(b"b")
    assert points == sorted(points)


@pytest.mark.parametrize("key", [b"", b"\x00", b"\xfe"])
def test_the_ends_of_the_legal_range_are_keys(engine: Any, database: Any, prefix: bytes, key: bytes) -> None:
    if prefix:
        pytest.skip("these keys are outside the test's prefix of a shared cluster")
    database[key] = b"v"
    assert bytes(database[key]) == b"v"
    assert [bytes(row.key) for row in database.create_transaction().get_range(b"", b"\xff")] == [key]
