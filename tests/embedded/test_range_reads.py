"""The two ways of reading a range give the same: the short way between keys, and FoundationDB's own steps.

Also against the plainest model, a sorted list of what the transaction should see.
"""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phasm_fdb.embedded.attempt import Attempt
from phasm_fdb.embedded.found import range_conflict
from phasm_fdb.embedded.limits import Limits
from phasm_fdb.embedded.memory_store import MemoryStore
from phasm_fdb.embedded.mutation import SET
from phasm_fdb.embedded.selector import END, Place
from phasm_fdb.embedded.selector_read import get_key, read_range
from phasm_fdb.embedded.span_read import read_span
from tests.embedded.test_memory_store import commit
from tests.embedded.virtual_time import VirtualTime

KEYS = [stem + tail for stem in (b"a", b"b", b"c", b"d") for tail in (b"", b"\0", b"1", b"\xff")]


def _store(rng: random.Random) -> tuple[MemoryStore, dict[bytes, bytes]]:
    store = MemoryStore(VirtualTime().clock)
    stored = {key: b"%d" % rng.randrange(10) for key in rng.sample(KEYS, rng.randrange(0, 12))}
    commit(store, *((SET, key, value) for key, value in stored.items()))
    return store, stored


def _write(rng: random.Random, attempt: Attempt, model: dict[bytes, bytes]) -> None:
    for _ in range(rng.randrange(0, 6)):
        key, pick = rng.choice(KEYS), rng.random()
        if pick < 0.5:
            attempt.set(key, b"mine", True)
            model[key] = b"mine"
        elif pick < 0.7:
            attempt.clear(key, True)
            model.pop(key, None)
        else:
            end = rng.choice(KEYS)
            attempt.clear_range(key, end, True)
            for gone in [k for k in model if key <= k < end]:
                del model[gone]


@settings(max_examples=300)
@given(st.integers(0, 2**32))
def test_the_short_way_and_the_long_way_agree(seed: int) -> None:
    rng = random.Random(seed)
    store, model = _store(rng)
    attempt, other = Attempt(store), Attempt(store)
    state = rng.getstate()
    _write(rng, attempt, model)
    rng.setstate(state)
    _write(rng, other, {})
    for _ in range(4):
        begin, end = sorted((rng.choice(KEYS), rng.choice(KEYS)))
        rows, size = rng.choice([None, 1, 2, 5]), None
        reverse = rng.random() < 0.5
        short = read_span(attempt._view(False), begin, end, Limits(rows, size), reverse)
        long = read_range(other._view(False), Place(begin, 1), Place(end, 1), Limits(rows, size), reverse)
        assert short.rows == long.rows
        assert range_conflict(short, Place(begin, 1), Place(end, 1), reverse) == range_conflict(
            long, Place(begin, 1), Place(end, 1), reverse
        )


def _position(keys: list[bytes], place: Place) -> int:
    """Where a selector lands among sorted keys: -1 is before them, `len(keys)` after them."""
    at_or_above = sum(key < place.key for key in keys)
    return max(-1, min(len(keys), at_or_above + place.offset - 1))


@settings(max_examples=300)
@given(st.integers(0, 2**32))
def test_selectors_land_where_counting_says(seed: int) -> None:
    rng = random.Random(seed)
    store, model = _store(rng)
    attempt = Attempt(store)
    _write(rng, attempt, model)
    keys = sorted(model)
    for _ in range(5):
        place = Place(rng.choice(KEYS), rng.randrange(-4, 5))
        position = _position(keys, place)
        expected = b"" if position < 0 else END if position == len(keys) else keys[position]
        assert get_key(attempt._view(False), place) == expected
        assert Attempt.get_key(attempt, place, False) == expected


@settings(max_examples=300)
@given(st.integers(0, 2**32))
def test_ranges_between_selectors_have_the_rows_between(seed: int) -> None:
    rng = random.Random(seed)
    store, model = _store(rng)
    attempt = Attempt(store)
    _write(rng, attempt, model)
    keys = sorted(model)
    for _ in range(5):
        begin = Place(rng.choice(KEYS), rng.randrange(-3, 4))
        end = Place(rng.choice(KEYS), rng.randrange(-3, 4))
        reverse, limit = rng.random() < 0.5, rng.choice([None, 1, 3])
        low, high = max(0, _position(keys, begin)), max(0, _position(keys, end))
        expected = [(key, model[key]) for key in keys[low:high]]
        if reverse:
            expected.reverse()
        found = attempt.get_range(begin, end, Limits(limit), reverse, rng.random() < 0.3)
        if begin.offset < end.offset or begin.key < end.key:
            assert found.rows == expected[:limit]


@pytest.mark.parametrize("reverse", [False, True])
def test_a_long_range_comes_in_pages(reverse: bool) -> None:
    store = MemoryStore(VirtualTime().clock)
    commit(store, *((SET, b"%05d" % number, b"v") for number in range(5000)))
    attempt: Any = Attempt(store)
    attempt.clear_range(b"01000", b"04000", True)
    attempt.set(b"02000", b"mine", True)
    found = attempt.get_range(Place(b"", 1), Place(END, 1), Limits(None), reverse, False)
    expected = [b"%05d" % number for number in [*range(1000), 2000, *range(4000, 5000)]]
    assert [key for key, _ in found.rows] == (expected[::-1] if reverse else expected)
