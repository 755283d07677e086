"""Typed keys: the tuple layer's bytes, in the tuple layer's order, refused by name when they do not fit."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any, NewType
from uuid import UUID

import fdb.tuple
import pytest
from fdb.tuple import Versionstamp
from hypothesis import given
from hypothesis import strategies as st

from phasm_fdb.errors import CodecError, MachineDefinitionError
from phasm_fdb.keys import (
    MAX_DEPTH,
    KeyCodec,
    after_prefix,
    pack,
    pack_element,
    unpack,
    unpack_element,
    versionstamp_offset,
)

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.text()
    | st.binary()
    | st.uuids()
    | st.floats(allow_nan=False)
)
elements = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3).map(tuple), max_leaves=5)


@given(st.lists(elements, max_size=4).map(tuple))
def test_the_bytes_are_the_tuple_layers(key: tuple[Any, ...]) -> None:
    assert pack(key) == fdb.tuple.pack(key)
    assert unpack(pack(key)) == key


@given(st.lists(st.tuples(st.integers(-5, 5), st.text(max_size=3)), max_size=8))
def test_keys_sort_as_their_values(keys: list[tuple[int, str]]) -> None:
    codec: KeyCodec[tuple[int, str]] = KeyCodec(tuple[int, str], "m")
    assert sorted(keys, key=codec.pack) == sorted(keys, key=lambda key: (key[0], key[1].encode()))


class Day(enum.Enum):
    MONDAY = 1
    TUESDAY = 2


@dataclass(frozen=True)
class Slot:
    day: Day
    minute: int


@dataclass(frozen=True)
class Chair:
    slot: Slot
    number: int


Room = NewType("Room", str)


@pytest.mark.parametrize(
    ("type_", "key", "elements"),
    [
        (int, 5, (5,)),
        (str, "a\0b", ("a\0b",)),
        (bytes, b"\0", (b"\0",)),
        (bool, True, (True,)),
        (Day, Day.TUESDAY, (2,)),
        (Room, Room("x"), ("x",)),
        (UUID, UUID(int=9), (UUID(int=9),)),
        (Slot, Slot(Day.MONDAY, 30), (1, 30)),
        (Chair, Chair(Slot(Day.MONDAY, 30), 2), ((1, 30), 2)),
        (tuple[str, Day], ("a", Day.MONDAY), ("a", 1)),
        (tuple[str, tuple[int, ...]], ("a", (1, 2, 3)), ("a", (1, 2, 3))),
        (int | str, "a", ("a",)),
        (tuple[int | None, str], (None, "b"), (None, "b")),
        (Any, ("a", 1), (("a", 1),)),
    ],
)
def test_a_typed_key_is_its_elements(type_: Any, key: Any, elements: tuple[Any, ...]) -> None:
    codec: KeyCodec[Any] = KeyCodec(type_, "m")
    assert codec.pack(key) == fdb.tuple.pack(elements)
    assert codec.unpack(codec.pack(key)) == key
    assert type(codec.unpack(codec.pack(key))) is type(key)


@pytest.mark.parametrize(
    ("type_", "key"),
    [
        (int, "5"),
        (int, True),
        (str, 5),
        (Day, 1),
        (Slot, (1, 30)),
        (Slot, Slot(1, 30)),  # type: ignore[arg-type]
        (tuple[str, int], ("a",)),
        (tuple[str, int], ["a", 1]),
        (Any, object()),
        (Any, [1]),
        (str, "\ud800"),
    ],
)
def test_a_key_of_another_type_is_named(type_: Any, key: Any) -> None:
    with pytest.raises(CodecError, match="State"):
        KeyCodec(type_, "State.m").pack(key)


def test_stored_keys_of_another_type_are_named() -> None:
    with pytest.raises(CodecError, match="is not a key of type int"):
        KeyCodec(int, "m").unpack(pack(("a",)))
    with pytest.raises(CodecError, match="is not a key of type Slot"):
        KeyCodec(Slot, "m").unpack(pack((7, 30)))


class Number(enum.Enum):
    ONE = 1
    ZERO = 0.0


@dataclass(frozen=True)
class Even:
    number: int

    def __post_init__(self) -> None:
        if self.number % 2:
            raise LookupError(f"{self.number} is odd")


KEY_TYPES = (int, str, bool, float, UUID, Versionstamp, Number, Day, tuple[int, str], Slot, Even, int | None, Any)


@given(st.sampled_from(KEY_TYPES), st.binary(max_size=20) | elements.map(lambda element: pack((element,))))
def test_whatever_bytes_a_key_has_it_is_of_its_type_or_named(type_: Any, data: bytes) -> None:
    codec: KeyCodec[Any] = KeyCodec(type_, "State.m")
    try:
        key = codec.unpack(data)
    except CodecError as error:
        assert "State.m" in str(error)
    else:
        codec.pack(key)


@given(st.binary(max_size=20))
def test_bytes_that_are_no_tuple_are_named(data: bytes) -> None:
    for read in (unpack, unpack_element):
        try:
            read(data)
        except CodecError as error:
            assert "tuple" in str(error)


def test_a_tuple_that_nests_too_deep_is_named_on_both_ways() -> None:
    with pytest.raises(CodecError, match="no tuple of the tuple layer"):
        unpack(b"\x05" * 10_000)
    nested: Any = ()
    for _ in range(MAX_DEPTH - 1):
        nested = (nested,)
    assert unpack(pack_element(nested)) == (nested,)
    with pytest.raises(CodecError, match="100 deep at most"):
        pack_element((nested,))


@pytest.mark.parametrize("raw", [True, 1.0, False, 0])
def test_what_python_takes_for_a_member_of_an_enum_is_none(raw: Any) -> None:
    with pytest.raises(CodecError, match="is not a value of Number"):
        KeyCodec(Number, "m").unpack(pack((raw,)))


@pytest.mark.parametrize("type_", [list[int], dict[str, int], object, tuple[int, list[int]]])
def test_a_type_that_is_no_key_is_refused_at_definition(type_: Any) -> None:
    with pytest.raises(MachineDefinitionError, match=r"State\.m: .* cannot be a key"):
        KeyCodec(type_, "State.m")


def test_prefixes() -> None:
    pairs: KeyCodec[tuple[str, int]] = KeyCodec(tuple[str, int], "m")
    assert pairs.pack_prefix(("a",)) == pack(("a",))
    with pytest.raises(CodecError, match="expected a tuple of the first elements"):
        pairs.pack_prefix("a")
    words: KeyCodec[str] = KeyCodec(str, "m")
    assert words.pack("abc").startswith(words.pack_prefix("ab"))


@given(st.binary(min_size=1).filter(lambda prefix: prefix.strip(b"\xff")), st.binary())
def test_after_prefix_is_behind_all_keys_with_the_prefix(prefix: bytes, rest: bytes) -> None:
    assert prefix + rest < after_prefix(prefix)
    assert not after_prefix(prefix).startswith(prefix)


def test_where_the_incomplete_versionstamp_is() -> None:
    key = pack(("a", Versionstamp.incomplete(3), 5))
    offset = versionstamp_offset(key)
    assert offset is not None
    assert key[offset : offset + 12] == b"\xff" * 10 + b"\0\3"
    assert versionstamp_offset(pack_element(Versionstamp(b"0123456789", 3))) is None
    with pytest.raises(CodecError, match="this one holds two"):
        versionstamp_offset(pack((Versionstamp.incomplete(1), Versionstamp.incomplete(2))))
