"""Key selectors: which key they find, at the ends of the database, across own writes, and what they read."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest

Key = Callable[[bytes], bytes]
Fails = Callable[[int], AbstractContextManager[None]]

NAMES = [b"b", b"d", b"f", b"h", b"j"]


@pytest.fixture
def stored(database: Any, at: Key) -> list[bytes]:
    tr = database.create_transaction()
    for name in NAMES:
        tr.set(at(name), name)
    tr.commit().wait()
    return [at(name) for name in NAMES]


def resolve(stored: list[bytes], key: bytes, or_equal: bool, offset: int) -> bytes | None:
    """FoundationDB's definition, on a sorted list: None where it would leave the list.

    The last key that is less than `key` (or equal, if `or_equal`), then `offset` keys on.
    """
    before = [k for k in stored if k < key or (or_equal and k == key)]
    index = len(before) - 1 + offset
    return stored[index] if 0 <= index < len(stored) else None


@pytest.mark.parametrize("or_equal", [False, True])
@pytest.mark.parametrize("offset", range(-3, 5))
def test_every_offset_follows_the_definition(
    engine: Any, database: Any, at: Key, stored: list[bytes], or_equal: bool, offset: int
) -> None:
    tr = database.create_transaction()
    found = 0
    for name in [b"a", b"b", b"c", b"f", b"g", b"j", b"k"]:
        want = resolve(stored, at(name), or_equal, offset)
        if want is not None:  # outside, a shared cluster answers with other people's keys
            found += 1
            assert bytes(tr.get_key(engine.KeySelector(at(name), or_equal, offset)).wait()) == want
    assert found


def test_the_four_named_selectors(engine: Any, database: Any, at: Key, stored: list[bytes]) -> None:
    selector, tr = engine.KeySelector, database.create_transaction()
    for make, at_d, at_e in [
        (selector.last_less_than, b"b", b"d"),
        (selector.last_less_or_equal, b"d", b"d"),
        (selector.first_greater_than, b"f", b"f"),
        (selector.first_greater_or_equal, b"d", b"f"),
    ]:
        assert bytes(tr.get_key(make(at(b"d"))).wait()) == at(at_d)
        assert bytes(tr.get_key(make(at(b"e"))).wait()) == at(at_e)


def test_adding_to_a_selector_moves_its_offset(engine: Any, database: Any, at: Key, stored: list[bytes]) -> None:
    tr = database.create_transaction()
    first = engine.KeySelector.first_greater_or_equal(at(b"d"))
    assert bytes(tr.get_key(first + 2).wait()) == at(b"h")
    assert bytes(tr.get_key(first - 1).wait()) == at(b"b")


def test_before_the_first_key_is_the_empty_key(engine: Any, database: Any) -> None:
    tr = database.create_transaction()
    assert bytes(tr.get_key(engine.KeySelector.last_less_than(b"")).wait()) == b""
    assert bytes(tr.get_key(engine.KeySelector(b"", False, -1000)).wait()) == b""


def test_past_the_last_key_is_ff(engine: Any, database: Any) -> None:
    tr = database.create_transaction()
    assert bytes(tr.get_key(engine.KeySelector.first_greater_or_equal(b"\xff")).wait()) == b"\xff"


def test_the_ends_of_an_empty_database(engine: Any, database: Any, prefix: bytes) -> None:
    if prefix:
        pytest.skip("a shared cluster has other people's keys")
    tr = database.create_transaction()
    assert bytes(tr.get_key(engine.KeySelector.first_greater_or_equal(b"a")).wait()) == b"\xff"
    assert bytes(tr.get_key(engine.KeySelector.last_less_than(b"a")).wait()) == b""


def test_a_selector_sees_the_own_writes(engine: Any, database: Any, at: Key, stored: list[bytes]) -> None:
    tr = database.create_transaction()
    tr.set(at(b"e"), b"new")
    tr.clear(at(b"f"))
    assert bytes(tr.get_key(engine.KeySelector.first_greater_than(at(b"d"))).wait()) == at(b"e")
    assert bytes(tr.get_key(engine.KeySelector.first_greater_than(at(b"e"))).wait()) == at(b"h")
    assert bytes(tr.get_key(engine.KeySelector.last_less_than(at(b"h"))).wait()) == at(b"e")
    # d, e, h, j: three on from d, over what was written and cleared.
    assert bytes(tr.get_key(engine.KeySelector(at(b"d"), True, 3)).wait()) == at(b"j")


def test_a_range_between_selectors(engine: Any, database: Any, at: Key, stored: list[bytes]) -> None:
    tr, selector = database.create_transaction(), engine.KeySelector
    rows = tr.get_range(selector.last_less_or_equal(at(b"e")), selector.first_greater_than(at(b"h")))
    assert [bytes(row.key) for row in rows] == [at(b"d"), at(b"f"), at(b"h")]
    rows = tr.get_range(selector.first_greater_or_equal(at(b"c")) + 1, selector.last_less_than(at(b"j")))
    assert [bytes(row.key) for row in rows] == [at(b"f")]


def test_a_range_whose_selectors_cross_is_empty(engine: Any, database: Any, at: Key, stored: list[bytes]) -> None:
    tr, selector = database.create_transaction(), engine.KeySelector
    assert list(tr.get_range(selector.first_greater_than(at(b"f")), selector.last_less_than(at(b"f")))) == []


def test_get_key_conflicts_with_what_it_passed_over(
    engine: Any, database: Any, at: Key, stored: list[bytes], fails: Fails
) -> None:
    tr = database.create_transaction()
    tr.get_key(engine.KeySelector.first_greater_than(at(b"d"))).wait()  # finds f, so read (d, f]
    tr.set(at(b"out"), b"")
    database[at(b"e")] = b"between"
    with fails(1020):
        tr.commit().wait()


def test_get_key_does_not_conflict_past_what_it_found(engine: Any, database: Any, at: Key, stored: list[bytes]) -> None:
    tr = database.create_transaction()
    tr.get_key(engine.KeySelector.first_greater_than(at(b"d"))).wait()
    tr.set(at(b"out"), b"")
    database[at(b"g")] = b"past f"
    database[at(b"c")] = b"before d"
    tr.commit().wait()


def test_an_offset_beyond_the_end_from_a_system_key_is_refused(engine: Any, database: Any, fails: Fails) -> None:
    with fails(2004):
        database.create_transaction().get_key(engine.KeySelector(b"\xff\x01", False, 1)).wait()


@pytest.mark.parametrize("offset", [17, 18, 19, 100, 1_000, 1_000_000, 2**31 - 1])
@pytest.mark.parametrize("reverse", [False, True])
def test_an_end_far_past_the_last_key_is_the_end(
    engine: Any, database: Any, at: Key, stored: list[bytes], offset: int, reverse: bool
) -> None:
    """FoundationDB's own keys lie there. A reverse read begins among them, and has to come back to the users'."""
    tr = database.create_transaction()
    last = engine.KeySelector(at(b"j"), False, 1)
    rows = tr.get_range(last, engine.KeySelector(at(b"j"), False, offset), reverse=reverse)
    assert next(iter(rows)).key >= at(b"j")
    if at(b"") == b"":  # nobody else's keys are there
        assert [row.key for row in rows] == [at(b"j")]
        tr.set(at(b"e"), b"mine")
        tr.clear(at(b"j"))
        rows = tr.get_range(
            engine.KeySelector(at(b"d"), False, 1), engine.KeySelector(at(b"j"), False, offset), reverse=reverse
        )
        found = [row.key for row in rows]
        assert (found[::-1] if reverse else found) == [at(b"d"), at(b"e"), at(b"f"), at(b"h")]
