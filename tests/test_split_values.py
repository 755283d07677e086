"""Split values stay apart, whatever their keys: also where the bytes of one key begin with those of another."""

from __future__ import annotations

from typing import Any
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import phasm_fdb
from phasm_fdb import Map, State, Subspace
from phasm_fdb.fields import cells
from phasm_fdb.keys import pack

SPACE = Subspace(("split",))
#: Zero bytes are packed as 00 ff, so that keys with them begin with the bytes of other keys.
TEXTS = st.text("\0\1aé\xff", max_size=3)
BYTES = st.binary(max_size=3).map(lambda data: bytes(b"\0\1a\xff"[byte % 4] for byte in data))


class Strings(State):
    rows = Map(str, str)


class Binaries(State):
    rows = Map(bytes, str)


class Pairs(State):
    rows = Map(tuple[str, str], str)


class Nested(State):
    rows = Map(tuple[int, tuple[str | None, ...]], str)


NESTED = st.tuples(st.integers(0, 1), st.lists(st.none() | TEXTS, max_size=2).map(tuple))
KINDS: dict[type[State], tuple[Any, Any]] = {
    Strings: (TEXTS, TEXTS),
    Binaries: (BYTES, BYTES),
    Pairs: (st.tuples(TEXTS, TEXTS), st.lists(TEXTS, max_size=2).map(tuple)),
    Nested: (NESTED, NESTED.map(lambda key: key[:1])),
}


def packed(key: Any) -> bytes:
    """What keys are sorted by."""
    return pack(key if isinstance(key, tuple) else (key,))


def begins_with(key: Any, prefix: Any) -> bool:
    """Whether a key has this prefix."""
    return bool(key[: len(prefix)] == prefix)


def steps_of(keys: Any, prefixes: Any) -> Any:
    """Lists of what is done to a map."""
    return st.lists(
        st.tuples(st.just("set"), keys, st.integers(0, 60))
        | st.tuples(st.just("discard"), keys)
        | st.tuples(st.just("clear"), st.none() | keys, st.none() | keys)
        | st.tuples(st.just("clear prefix"), prefixes),
        max_size=12,
    )


def take(step: Any, rows: Any, model: dict[Any, str]) -> None:
    """Take a step on a map and on its model, and compare what they hold of it."""
    match step:
        case ("set", key, size):
            rows[key] = model[key] = repr(step)[:1] * size
        case ("discard", key):
            rows.discard(key)
            model.pop(key, None)
        case ("clear", start, stop):
            rows.clear(start, stop)
            for key in list(model):
                is_behind = start is None or packed(start) <= packed(key)
                if is_behind and (stop is None or packed(key) < packed(stop)):
                    del model[key]
        case ("clear prefix", prefix):
            assert dict(rows.items(prefix=prefix)) == {
                key: value for key, value in model.items() if begins_with(key, prefix)
            }
            rows.clear(prefix=prefix)
            for key in [key for key in model if begins_with(key, prefix)]:
                del model[key]


@pytest.mark.parametrize("kind", KINDS)
def test_split_values_are_like_plain_ones(kind: type[State]) -> None:
    @given(steps_of(*KINDS[kind]), st.booleans())
    @settings(max_examples=150)
    def run(steps: list[Any], apart: bool) -> None:
        db, model = phasm_fdb.open("memory:"), dict[Any, str]()
        tr = db.create_transaction()
        state: Any = kind.over(tr, SPACE)
        for step in steps:
            take(step, state.rows, model)
            if apart:
                state.flush(tr)
                tr.commit().wait()
                tr = db.create_transaction()
                state = kind.over(tr, SPACE)
            assert list(state.rows.items()) == sorted(model.items(), key=lambda row: packed(row[0]))
        state.rows.clear()
        state.flush(tr)
        tr.commit().wait()
        assert db.get_range(SPACE.range(()).start, SPACE.range(()).stop) == []

    with mock.patch.object(cells, "MAX_VALUE_BYTES", 20), mock.patch.object(cells, "PART_BYTES", 9):
        run()
