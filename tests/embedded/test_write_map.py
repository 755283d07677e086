"""WriteMap against the plainest model: the writes replayed on what the database has."""

from __future__ import annotations

import struct
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from phasm_fdb.embedded.mutation import (
    ADD,
    APPEND_IF_FITS,
    BYTE_MAX,
    CLEAR,
    CLEAR_RANGE,
    COMPARE_AND_CLEAR,
    MAX,
    SET,
    SET_VERSIONSTAMPED_KEY,
    SET_VERSIONSTAMPED_VALUE,
    Mutation,
    apply_atomic,
)
from phasm_fdb.embedded.selector import SPECIAL, key_after
from phasm_fdb.embedded.write_map import WriteMap, Wrote

KEYS = [b"a", b"a\0", b"b", b"c", b"c\0", b"d"]
OPERATIONS = [ADD, APPEND_IF_FITS, BYTE_MAX, COMPARE_AND_CLEAR, MAX]
keys = st.sampled_from(KEYS)
values = st.sampled_from([b"", b"\1", b"\2", b"\1\1"])
writes = st.lists(
    st.one_of(
        st.tuples(st.just(SET), keys, values),
        st.tuples(st.just(CLEAR), keys, st.just(b"")),
        st.tuples(st.just(CLEAR_RANGE), keys, keys),
        st.tuples(st.sampled_from(OPERATIONS), keys, values),
    ),
    max_size=12,
)
databases = st.dictionaries(keys, values)


def _write(steps: list[Mutation]) -> WriteMap:
    written = WriteMap()
    for code, key, parameter in steps:
        if code == SET:
            written.set(key, parameter)
        elif code == CLEAR:
            written.clear(key)
        elif code == CLEAR_RANGE:
            if key < parameter:
                written.clear_range(key, parameter)
        elif code == SET_VERSIONSTAMPED_KEY:
            written.stamp_key(_stamped(key), key + b"\0" * 10, key + b"\xff" * 10 + b"\0", parameter)
        else:
            written.operate(code, key, parameter)
    return written


def _replay(steps: list[Mutation], stored: dict[bytes, bytes]) -> dict[bytes, bytes]:
    model = dict(stored)
    for code, key, parameter in steps:
        if code == SET:
            model[key] = parameter
        elif code == CLEAR:
            model.pop(key, None)
        elif code == CLEAR_RANGE:
            model = {k: v for k, v in model.items() if not key <= k < parameter}
        else:
            value = apply_atomic(code, model.get(key), parameter)
            model.pop(key, None)
            if value is not None:
                model[key] = value
    return model


@given(writes, databases)
def test_reading_gives_what_the_writes_made(steps: list[Mutation], stored: dict[bytes, bytes]) -> None:
    written, model = _write(steps), _replay(steps, stored)
    for key in KEYS:
        assert written.apply(key, stored.get(key)) == model.get(key)


@given(writes, databases)
def test_committing_makes_what_the_writes_made(steps: list[Mutation], stored: dict[bytes, bytes]) -> None:
    assert _replay(_write(steps).mutations(), stored) == _replay(steps, stored)


@given(writes, databases, databases)
def test_what_is_known_does_not_depend_on_the_database(
    steps: list[Mutation], one: dict[bytes, bytes], other: dict[bytes, bytes]
) -> None:
    written = _write(steps)
    for key in KEYS:
        if written.wrote(key) in (Wrote.CLEARED, Wrote.VALUE):
            assert written.apply(key, one.get(key)) == written.apply(key, other.get(key))
        elif written.wrote(key) is Wrote.NOTHING:
            assert written.apply(key, one.get(key)) == one.get(key)


stamped_writes = st.lists(
    st.one_of(
        st.tuples(st.just(SET), keys, values),
        st.tuples(st.just(CLEAR), keys, st.just(b"")),
        st.tuples(st.just(CLEAR_RANGE), keys, keys),
        st.tuples(st.sampled_from(OPERATIONS), keys, values),
        st.tuples(st.just(SET_VERSIONSTAMPED_VALUE), keys, values.map(lambda value: _stamped(value))),
        st.tuples(st.just(SET_VERSIONSTAMPED_KEY), keys, values),
    ),
    max_size=12,
)


@given(stamped_writes)
def test_segments_cover_all_keys_once(steps: list[Mutation]) -> None:
    written = _write(steps)
    segments = [written.segment(b"")]
    while segments[-1].end < SPECIAL:
        segments.append(written.segment(segments[-1].end))
    assert segments[0].begin == b""
    for before, after in pairwise(segments):
        assert before.begin < before.end == after.begin
        assert written.segment_before(after.begin) == before
    for key in KEYS:
        (segment,) = [s for s in segments if s.begin <= key < s.end]
        assert segment.wrote is written.wrote(key)
        assert written.segment(key) == segment


@given(writes, keys, keys)
def test_the_unwritten_parts_are_what_reading_depends_on(steps: list[Mutation], begin: bytes, end: bytes) -> None:
    written = _write(steps)
    parts = list(written.unwritten(begin, end))
    for key in KEYS:
        depends = written.wrote(key) in (Wrote.NOTHING, Wrote.OPERATIONS)
        assert any(low <= key < high for low, high in parts) == (begin <= key < end and depends)


def test_the_same_operation_again_is_one_operation() -> None:
    written = WriteMap()
    for _ in range(100):
        written.operate(ADD, b"n", b"\1\0")
    assert written.mutations() == [(ADD, b"n", b"\x64\0")]
    written.operate(ADD, b"n", b"\1")
    assert len(written.mutations()) == 2, "of another length it is not"


def _stamped(prefix: bytes) -> bytes:
    return prefix + b"\0" * 10 + struct.pack("<I", len(prefix))


def test_a_stamped_value_is_unreadable_until_it_is_cleared() -> None:
    written = WriteMap()
    written.operate(SET_VERSIONSTAMPED_VALUE, b"k", _stamped(b"v"))
    assert b"k" in written.unreadable
    assert key_after(b"k") not in written.unreadable
    written.set(b"k", b"plain")
    assert b"k" in written.unreadable, "a set does not make it readable: the stamp may not be known before"
    written.clear(b"k")
    assert b"k" not in written.unreadable
    assert written.mutations() == [(CLEAR, b"k", b"")]


def test_a_stamped_key_makes_unreadable_where_it_may_land() -> None:
    written = WriteMap()
    written.set(b"log/\5", b"before")
    key = _stamped(b"log/")
    low, high = b"log/" + b"\0" * 10, b"log/" + b"\xff" * 10 + b"\0"
    written.stamp_key(key, low, high, b"v")
    assert low in written.unreadable
    assert b"log/" not in written.unreadable
    assert written.mutations() == [(SET, b"log/\5", b"before"), (SET_VERSIONSTAMPED_KEY, key, b"v")]
    assert not written.writes.get(b"log/\5"), "what was there is not read back any more"
    written.clear_range(b"log/", b"log0")
    assert not written.unreadable
