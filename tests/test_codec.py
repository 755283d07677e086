"""Typed values to MessagePack and back: what fits is kept exactly, what does not is named."""

from __future__ import annotations

import dataclasses
import enum
import math
import typing
from dataclasses import dataclass, field
from typing import Any, Literal, NewType
from uuid import UUID

import msgpack
import pytest
from fdb.tuple import Versionstamp
from hypothesis import given
from hypothesis import strategies as st

from phasm_fdb import plain
from phasm_fdb.codec import Codec, writing_format
from phasm_fdb.errors import CodecError, MachineDefinitionError, NewerValue
from tests.hostile import anything, plain_values

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
        (Order("\ud800", []), r"Order\.user: '\\ud800' has no UTF-8 form"),
        (Order("ann", [], many=(0.5, 10**400)), r"Order\.many\[1\]: an int of 1329 bits does not fit in a float"),
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
        ({"user": "ann", "lines": []}, "has no tag, which says of which type it is: Order, Cancel"),
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


class Huge(enum.Enum):
    ALL = 2**64


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
        (Weird, r"Weird\.PAIR has the value \(1, 2\), which is not stored as it is: use int or str"),
        (Huge, "does not fit in 64 bits"),
        (Literal["\ud800"], "has no UTF-8 form"),
        (Literal[Color.RED], "holds <Color.RED: 'r'>, which is not stored as it is"),
        (dict[tuple[int, int], str], "cannot be the key of a stored dict"),
        (dict[Line | None, str], "Line cannot be the key of a stored dict"),
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


# -------------------------------------------------------------------------------------------- defaults


@dataclass(frozen=True)
class Address:
    street: str
    floor: int = 0


@dataclass(frozen=True)
class Defaults:
    number: int = 7
    flag: bool = False
    text: str = "a"
    share: float = 0.0
    loose: float = 0  # an int, which would come back as a float: always written
    none: int | None = None
    wrong: int = None  # type: ignore[assignment]  # no int: always written
    either: bool | int | float = 0
    tags: list[str] = field(default_factory=list)
    pair: tuple[int, float] = (1, 0.5)
    home: Address = Address("there")
    colors: tuple[Color, ...] = (Color.RED,)
    plain: Any = 0
    made: list[int] = field(default_factory=lambda: [1])  # may be another one each time: always written


DEFAULTS: Codec[Defaults] = Codec(Defaults, "x")
WRITTEN = {"loose": 0.0, "wrong": 1, "made": [1]}


def test_fields_with_their_default_are_not_stored() -> None:
    value = Defaults(wrong=1)
    assert DEFAULTS.to_raw(value) == WRITTEN
    assert DEFAULTS.decode(DEFAULTS.encode(value)) == value
    moved = dataclasses.replace(value, home=Address("there", 2))
    assert DEFAULTS.to_raw(moved) == {**WRITTEN, "home": {"street": "there", "floor": 2}}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("share", -0.0),
        ("share", math.nan),
        ("either", False),
        ("either", 0.0),
        ("pair", (1, -0.5)),
        ("plain", False),
        ("plain", 0.0),
        ("plain", [0]),
        ("tags", [""]),
        ("colors", ()),
        ("none", 0),
    ],
)
def test_a_value_that_is_only_equal_to_the_default_is_stored(name: str, value: Any) -> None:
    again = DEFAULTS.decode(DEFAULTS.encode(dataclasses.replace(Defaults(wrong=1), **{name: value})))
    assert repr(getattr(again, name)) == repr(value)


@pytest.mark.parametrize("value", [0, "x", 1.5, None])
def test_a_value_that_is_equal_to_the_default_and_of_another_type_is_refused(value: Any) -> None:
    with pytest.raises(CodecError, match=r"Defaults\.flag: .* is not a bool"):
        DEFAULTS.encode(Defaults(wrong=1, flag=value))


def test_the_first_format_has_all_fields_and_both_are_read() -> None:
    value = Order("ann", [Line(2)])
    with writing_format(1):
        whole = ORDERS.encode(value)
    assert msgpack.unpackb(whole) == {
        **{"$": "Order", "user": "ann", "lines": [{"count": 2, "color": "r"}]},
        **{"note": None, "tags": {}, "pair": [0, ""], "many": []},
    }
    assert msgpack.unpackb(ORDERS.encode(value)) == {"$": "Order", "user": "ann", "lines": [{"count": 2}]}
    assert ORDERS.decode(whole) == ORDERS.decode(ORDERS.encode(value)) == value


@given(orders | cancels)
def test_whoever_does_not_have_a_field_yet_reads_what_does_not_set_it(value: Order | Cancel) -> None:
    raw = ORDERS.to_raw(value)
    without = Codec(OldOrder | Cancel, "Input of Shop")
    if isinstance(value, Order) and (value.note is not None or value.tags or value.pair != (0, "") or value.many):
        with pytest.raises(NewerValue, match="Order has no field"):
            without.from_raw(raw)
    else:
        without.from_raw(raw)


@dataclass(frozen=True)
class OldOrder:
    user: str
    lines: list[Line]


OldOrder.__name__ = "Order"


@pytest.mark.parametrize(
    "raw",
    [
        {"$": "Refund"},
        {"$": "Order", "user": "ann", "lines": [], "vip": True},
        {"$": "Order", "user": "ann", "lines": [{"count": 1, "color": "g"}]},
        {"$": "Cancel", "order": bytes(16), "why": "early", "by": 1},
    ],
)
def test_what_newer_code_wrote_is_told_from_what_is_damaged(raw: Any) -> None:
    with pytest.raises(NewerValue):
        ORDERS.from_raw(raw)


# --------------------------------------------------------------------------------------------- hostile


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value] if depth % 2 else {"a": value}
    return value


def deep_tree(depth: int) -> Tree:
    tree = Tree(0, [])
    for _ in range(depth):
        tree = Tree(1, [tree])
    return tree


def test_what_nests_too_deep_is_named_on_the_way_in() -> None:
    anything: Codec[Any] = Codec(Any, "Reply of M")
    for fits in (100, 99):
        assert anything.decode(anything.encode(nested(fits))) == nested(fits)
    itself: list[Any] = []
    itself.append(itself)
    for too_deep in (nested(101), nested(102), nested(100_000), itself):
        with pytest.raises(CodecError, match=r"Reply of M: .* more than 100 lists"):
            anything.encode(too_deep)
    trees: Codec[Tree] = Codec(Tree, "tree")
    assert trees.decode(trees.encode(deep_tree(49))) == deep_tree(49)
    for count in (50, 51, 5_000):
        with pytest.raises(CodecError, match=r"tree: .* more than 100 lists"):
            trees.encode(deep_tree(count))


def test_what_nests_too_deep_is_named_on_the_way_out() -> None:
    for data in (
        b"\x91" * 1_100 + b"\x01",
        b"\x91" * 100_000,
    ):  # how much below that is read depends on Python's version
        with pytest.raises(CodecError, match="Reply of M"):
            Codec(Any, "Reply of M").decode(data)


def test_the_culprit_in_a_deep_value_is_found_at_once() -> None:
    tree = Tree("no", [])  # type: ignore[arg-type]
    for _ in range(40):
        tree = Tree(1, [tree])
    with pytest.raises(CodecError, match=r"(\.children\[0\]){40}\.value: 'no' is not an int"):
        Codec(Tree, "tree").encode(tree)


TYPES = (
    *(int, float, str, bytes, bool, None, Any, UUID, Versionstamp, Color, Size, UserId, Literal["a", 1]),
    *(list[int], tuple[str, ...], tuple[int, float], dict[str, int], dict[int | str, Any], Order | Cancel, Order),
    *(Tree, Basket, int | None, Order | None | str),
)


@given(st.sampled_from(TYPES), anything)
def test_whatever_is_encoded_is_stored_exactly_or_named(type_: Any, value: Any) -> None:
    codec: Codec[Any] = Codec(type_, "here")
    try:
        data = codec.encode(value)
    except CodecError as error:
        assert str(error).startswith("here: ")
    else:
        assert codec.encode(codec.decode(data)) == data


@given(st.sampled_from(TYPES), st.binary(max_size=40) | plain_values.map(msgpack.packb))
def test_whatever_bytes_are_read_are_a_value_of_the_type_or_named(type_: Any, data: bytes) -> None:
    codec: Codec[Any] = Codec(type_, "here")
    try:
        value = codec.decode(data)
    except CodecError as error:
        assert str(error).startswith("here: ")
    else:
        codec.encode(value)


@dataclass(frozen=True)
class Picky:
    number: int

    def __post_init__(self) -> None:
        if self.number < 0:
            raise LookupError("negative")


def test_a_class_that_refuses_what_is_stored_is_named() -> None:
    with pytest.raises(CodecError, match="Picky refuses its stored fields: LookupError: negative"):
        Codec(Picky, "x").from_raw({"number": -1})


def test_an_object_that_is_not_complete_is_named() -> None:
    with pytest.raises(CodecError, match="this Line is not complete"):
        Codec(Line, "x").encode(object.__new__(Line))


class Right(enum.Flag):
    READ = 1
    WRITE = 2


def test_flags_come_back_together() -> None:
    codec: Codec[Right] = Codec(Right, "x")
    for rights in (Right.READ, Right.READ | Right.WRITE, Right(0)):
        assert codec.decode(codec.encode(rights)) is rights
    with pytest.raises(NewerValue, match="4 is not a value of Right"):
        codec.from_raw(4)


def test_two_keys_of_a_dict_that_are_one_when_stored_are_named() -> None:
    with pytest.raises(CodecError, match="two keys that are one"):
        Codec(dict[float, int], "x").encode({2**53 + 1: 1, float(2**53): 2})


def test_what_is_read_back_is_what_somebody_gets_who_may_change_it() -> None:
    codec: Codec[Any] = Codec(Defaults | Line, "x")
    line, defaults = Line(3), Defaults(wrong=1, loose=2)
    assert codec.as_read(line) is line
    own = codec.as_read(defaults)
    assert own == defaults and own.tags is not defaults.tags and type(own.loose) is float


@given(plain_values)
def test_plain_values_come_back(raw: Any) -> None:
    assert repr(plain.from_bytes(plain.to_bytes(raw))) == repr(raw)
