"""Typed values to MessagePack and back: what fits is kept exactly, what does not is named."""

from __future__ import annotations

import enum
import typing
from dataclasses import dataclass, field
from typing import Any, Literal, NewType
from uuid import UUID

import msgpack
import pytest
from fdb.tuple import Versionstamp
from hypothesis import given
from hypothesis import strategies as st

from phasm_fdb.codec import Codec
from phasm_fdb.errors import CodecError, MachineDefinitionError

UserId = NewType("UserId", int)


class Color(enum.Enum):
    RED = "r"
    BLUE = "b"


class Size(enum.IntEnum):
    SMALL = 1
    LARGE = 2


class Fruit(enum.StrEnum):
    APPLE = "apple"


@dataclass(frozen=True)
class Line:
    count: int
    color: Color = Color.RED


@dataclass(frozen=True)
class Order:
    user: str
    lines: list[Line]
    note: str | None = None
    tags: dict[str, int] = field(default_factory=dict)
    pair: tuple[int, str] = (0, "")
    many: tuple[float, ...] = ()


@dataclass(frozen=True)
class Cancel:
    order: UUID
    why: Literal["late", "wrong"]
    by: UserId


@dataclass(frozen=True)
class Basket:
    size: Size
    fruit: Fruit


@dataclass(frozen=True)
class Tree:
    value: int
    children: list[Tree]
    parent: Tree | None = None


@dataclass(frozen=True)
class Renamed:
    __aliases__ = ("OldName",)
    value: int


ORDERS: Codec[Order | Cancel] = Codec(Order | Cancel, "Input of Shop")

lines = st.builds(Line, st.integers(-(2**63), 2**64 - 1), st.sampled_from(Color))
orders = st.builds(
    Order,
    st.text(),
    st.lists(lines, max_size=3),
    st.none() | st.text(),
    st.dictionaries(st.text(max_size=3), st.integers(0, 9), max_size=3),
    st.tuples(st.integers(0, 9), st.text(max_size=3)),
    st.lists(st.floats(allow_nan=False), max_size=3).map(tuple),
)
cancels = st.builds(Cancel, st.uuids(), st.sampled_from(["late", "wrong"]), st.integers(0, 9))


@given(orders | cancels)
def test_a_value_comes_back_as_it_was_and_has_one_encoding(value: Order | Cancel) -> None:
    data = ORDERS.encode(value)
    assert ORDERS.decode(data) == value
    assert ORDERS.encode(ORDERS.decode(data)) == data


def test_enums_that_are_ints_or_strings_stay_enums() -> None:
    codec: Codec[Basket] = Codec(Basket, "x")
    again = codec.decode(codec.encode(Basket(Size.LARGE, Fruit.APPLE)))
    assert (type(again.size), type(again.fruit)) == (Size, Fruit)
    with pytest.raises(CodecError, match=r"Basket\.size: 2 is not a Size"):
        codec.encode(Basket(2, Fruit.APPLE))  # type: ignore[arg-type]


def test_a_recursive_type_is_stored_whole() -> None:
    codec: Codec[Tree] = Codec(Tree, "tree")
    tree = Tree(1, [Tree(2, []), Tree(3, [Tree(4, [])])], Tree(0, []))
    assert codec.decode(codec.encode(tree)) == tree


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (Order("ann", [Line(1), Line("2")]), r"Order\.lines\[1\]\.count: '2' is not an int"),  # type: ignore[arg-type]
        (Order(5, []), r"Order\.user: 5 is not a str"),  # type: ignore[arg-type]
        (Order("ann", [], tags={"a": True}), r"Order\.tags\['a'\]: True is not an int"),
        (Order("ann", [], pair=(1,)), r"Order\.pair: \(1,\) is not a tuple of 2"),  # type: ignore[arg-type]
        (Order("ann", (Line(1),)), r"Order\.lines: .* is not a list"),  # type: ignore[arg-type]
        (Order("ann", [Line(2**64)]), r"does not fit in 64 bits"),
        (Order("ann", [Line(1, "r")]), r"Order\.lines\[0\]\.color: 'r' is not a Color"),  # type: ignore[arg-type]
        (Cancel(UUID(int=1), "bored", UserId(1)), r"Cancel\.why: 'bored' is not one of 'late', 'wrong'"),  # type: ignore[arg-type]
        ("order", r"'order' is not one of Order, Cancel"),
        (None, r"None is not one of Order, Cancel"),
    ],
)
def test_a_value_that_does_not_fit_is_named(value: Any, message: str) -> None:
    with pytest.raises(CodecError, match=message) as caught:
        ORDERS.encode(value)
    assert "Input of Shop" in str(caught.value)
    with pytest.raises(CodecError, match=message):
        ORDERS.to_raw(value)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ({"$": "Refund"}, "the tag 'Refund' is unknown; known are Order, Cancel"),
        ({"user": "ann", "lines": []}, "the tag None is unknown"),
        ({"$": "Order", "user": "ann"}, "Order lacks its field 'lines', which has no default"),
        ({"$": "Order", "user": "ann", "lines": [], "vip": True}, "Order has no field 'vip'"),
        ({"$": "Order", "user": "ann", "lines": [{"count": "2"}]}, r"\.lines\[0\]\.count: '2' is not an int"),
        ({"$": "Order", "user": "ann", "lines": [{"count": 2, "color": "x"}]}, "'x' is not a value of Color"),
        ({"$": "Order", "user": "ann", "lines": "abc"}, r"\.lines: 'abc' is not a list"),
        ([1], r"\[1\] is not one of Order, Cancel"),
    ],
)
def test_stored_bytes_that_do_not_fit_are_named(raw: Any, message: str) -> None:
    with pytest.raises(CodecError, match=message):
        ORDERS.decode(msgpack.packb(raw))


@pytest.mark.parametrize("data", [b"", b"\xc1", b"\x92\x01", b"\x01\x01"])
def test_bytes_that_are_not_messagepack_are_refused(data: bytes) -> None:
    with pytest.raises(CodecError):
        ORDERS.decode(data)


def test_a_field_with_a_default_may_be_missing_in_old_bytes() -> None:
    old = msgpack.packb({"$": "Order", "user": "ann", "lines": [{"count": 2}]})
    assert ORDERS.decode(old) == Order("ann", [Line(2, Color.RED)])


def test_a_renamed_class_still_decodes_by_its_old_name() -> None:
    codec: Codec[Renamed | Line] = Codec(Renamed | Line, "x")
    assert codec.decode(msgpack.packb({"$": "OldName", "value": 3})) == Renamed(3)
    assert msgpack.unpackb(codec.encode(Renamed(3))) == {"$": "Renamed", "value": 3}


def test_a_single_class_can_carry_its_tag_and_become_a_union_later() -> None:
    alone: Codec[Line] = Codec(Line, "Input", tagged=True)
    union: Codec[Line | Renamed] = Codec(Line | Renamed, "Input")
    assert union.decode(alone.encode(Line(7))) == Line(7)


def test_a_float_field_takes_an_int_and_stores_a_float() -> None:
    codec: Codec[float] = Codec(float, "x")
    assert type(codec.decode(codec.encode(3))) is float


def test_an_incomplete_versionstamp_is_no_value() -> None:
    codec: Codec[Versionstamp] = Codec(Versionstamp, "x")
    complete = Versionstamp(b"0123456789", 7)
    assert codec.decode(codec.encode(complete)) == complete
    with pytest.raises(CodecError, match="unknown until the commit"):
        codec.encode(Versionstamp.incomplete(1))


def test_an_undeclared_type_takes_plain_values_only() -> None:
    codec: Codec[Any] = Codec(Any, "Reply")
    plain = {"a": [1, 2.5, None, True, b"x"]}
    assert codec.decode(codec.encode(plain)) == plain
    for not_plain in ((1, 2), Line(1), {1, 2}):
        with pytest.raises(CodecError, match="declare its type"):
            codec.encode(not_plain)


@dataclass
class HasSet:
    members: set[int]


class Weird(enum.Enum):
    PAIR = (1, 2)


@dataclass(frozen=True)
class Twin:
    __aliases__ = ("Line",)


@pytest.mark.parametrize(
    ("type_", "message"),
    [
        (set[int], "has no order of its own"),
        (HasSet, r"HasSet\.members: .*no order of its own"),
        (object, "object cannot be stored"),
        (dict[str, object], "object cannot be stored"),
        (Weird, "stored enums have an int or str"),
        (list[int] | dict[str, int], "cannot be told apart"),
        (Line | Twin, "two members of .* are called 'Line'"),
    ],
)
def test_a_type_without_a_stored_form_is_refused_at_definition(type_: Any, message: str) -> None:
    with pytest.raises(MachineDefinitionError, match=message) as caught:
        Codec(type_, "State.field")
    assert str(caught.value).startswith("State.field")


def test_an_annotation_that_cannot_be_resolved_says_where_to_put_the_type() -> None:
    @dataclass
    class Inner:
        value: int

    @dataclass
    class Outer:
        inner: Inner

    if "Inner" in typing.get_type_hints(Outer, localns={"Inner": Inner}):
        raise AssertionError
    with pytest.raises(MachineDefinitionError, match="define its types at module level"):
        Codec(Outer, "x")
