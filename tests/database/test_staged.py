"""Staged writes: seen by their own reads, unseen by the base until the flush, exact in order and overlap."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import phasm_fdb
from phasm_fdb.database.ranges import rows
from phasm_fdb.database.staged import Staged, decode_count, encode_count
from phasm_fdb.errors import ReadOnlyError

names = st.sampled_from([b"a", b"b", b"b\0", b"c", b"d"])
bounds = st.sampled_from([b"", b"a", b"b", b"b\0", b"c", b"e"])
counts = st.integers(-3, 300).map(encode_count)
operations = st.lists(
    st.tuples(st.just("set"), names, counts)
    | st.tuples(st.just("clear"), names)
    | st.tuples(st.just("clear_range"), bounds, bounds)
    | st.tuples(st.just("add"), names, counts),
    max_size=8,
)


def apply_to_dict(data: dict[bytes, bytes], operation: tuple[Any, ...]) -> None:
    match operation:
        case ("set", key, value):
            data[key] = value
        case ("clear", key):
            data.pop(key, None)
        case ("clear_range", begin, end):
            for key in [key for key in data if begin <= key < end]:
                del data[key]
        case ("add", key, delta):
            data[key] = encode_count(decode_count(data.get(key)) + decode_count(delta))


def run(target: Any, operation: tuple[Any, ...]) -> None:
    name, *arguments = operation
    if name == "clear_range" and arguments[0] > arguments[1]:
        return
    getattr(target, name)(*arguments)


def between(data: dict[bytes, bytes], begin: bytes, end: bytes, limit: int, reverse: bool) -> list[tuple[bytes, bytes]]:
    found = sorted(((key, value) for key, value in data.items() if begin <= key < end), reverse=reverse)
    return found[:limit] if limit else found


@settings(max_examples=200)
@given(operations, operations, operations, bounds, bounds, st.integers(0, 3), st.booleans())
def test_staged_reads_and_flush_agree_with_a_dict(
    before: Any, first: Any, second: Any, begin: bytes, end: bytes, limit: int, reverse: bool
) -> None:
    """A base, a staged view over it, and another over that: each level sees all below and itself."""
    db = phasm_fdb.open("memory:")
    model: dict[bytes, bytes] = {}
    setup = db.create_transaction()
    for operation in before:
        run(setup, operation)
        apply_to_dict(model, operation)
    setup.commit().wait()

    tr = db.create_transaction()
    outer = Staged(tr)
    inner = Staged(outer)
    end = max(begin, end)
    for staged, operations_ in ((outer, first), (inner, second)):
        for operation in operations_:
            run(staged, operation)
            apply_to_dict(model, operation)
            for key in (b"a", b"b\0"):
                assert staged.read(key) == model.get(key)
        assert list(staged.rows(begin, end, limit, reverse)) == between(model, begin, end, limit, reverse)
        assert staged.read_many([b"c", b"a", b"c"]) == [model.get(b"c"), model.get(b"a"), model.get(b"c")]
    assert list(rows(tr, b"", b"\xff")) == list(rows(db.create_transaction(), b"", b"\xff"))

    inner.flush(outer)
    outer.flush(tr)
    tr.commit().wait()
    assert dict(rows(db.create_transaction(), b"", b"\xff")) == model


def test_dropping_a_staged_view_leaves_the_transaction_as_it_was(memory: Any) -> None:
    tr = memory.create_transaction()
    staged = Staged(tr)
    staged.set(b"a", b"1")
    staged.clear_range(b"b", b"c")
    tr.commit().wait()
    assert tr.get_committed_version() == -1


def test_known_tells_what_needs_no_read(memory: Any) -> None:
    memory[b"stored"] = b"1"
    outer = Staged(memory.create_transaction())
    inner = Staged(outer)
    outer.set(b"set", b"2")
    inner.clear(b"cleared")
    assert inner.known(b"stored") == (False, None)
    assert inner.known(b"set") == (True, b"2")
    assert inner.known(b"cleared") == (True, None)
    inner.read(b"stored")
    assert inner.known(b"stored") == (True, b"1")


def test_versionstamped_keys_are_read_back_behind_all_others(memory: Any) -> None:
    tr = memory.create_transaction()
    staged = Staged(tr)
    staged.set_versionstamped_key(b"log" + b"\xff" * 10 + b"\0\1" + (3).to_bytes(4, "little"), b"one")
    staged.set(b"log\0", b"zero")
    assert [value for _, value in staged.rows(b"log", b"loh")] == [b"zero", b"one"]
    staged.flush(tr)
    stamp = tr.get_versionstamp()
    tr.commit().wait()
    assert memory[b"log" + bytes(stamp.wait()) + b"\0\1"] == b"one"


@pytest.mark.parametrize("method", ["set", "clear", "clear_range", "add"])
def test_a_read_only_view_refuses_every_write(memory: Any, method: str) -> None:
    staged = Staged(memory.create_transaction(), read_only="restore")
    arguments = [b"a"] if method == "clear" else [b"a", b"b"]
    with pytest.raises(ReadOnlyError, match="written in restore"):
        getattr(staged, method)(*arguments)
