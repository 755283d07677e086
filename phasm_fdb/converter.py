"""The strict converter: each storable type's way to plain values, and back.

cattrs generates the code for a dataclass's fields, and calls the conversions here for their values. A conversion raises
`Mismatch` without saying where; the place is looked for afterwards (`path_to_mismatch`), so that the good case pays
nothing for it.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import typing
from collections.abc import Callable, Iterator
from dataclasses import MISSING
from typing import Any, NamedTuple

import cattrs
from cattrs.gen import make_dict_structure_fn, make_dict_unstructure_fn, override

from phasm_fdb import plain
from phasm_fdb.errors import message_of, shown
from phasm_fdb.scalars import SCALARS, Convert, Mismatch, Unknown, enum_from, enum_to, literal
from phasm_fdb.storable import PLAIN, UNIONS, field_types, is_dataclass, is_enum, members_by_tag

#: Where a tagged dataclass keeps its tag, beside its fields.
TAG = "$"
#: Default factories that give the same each time.
EMPTY = (list, dict, tuple)


class Direction(enum.Enum):
    """Which way a value goes: to plain values, or back from them."""

    #: To plain values, without the fields that have their default.
    SPARSE = "sparse"
    #: To plain values, with all fields: as values were stored in format 1.
    WHOLE = "whole"
    BACK = "back"


class Way(NamedTuple):
    """One way of one type.

    Attributes:
        convert: converts a value; raises a `Mismatch`.
        parts: of a value of many parts, the place, way and value of each.
    """

    convert: Convert
    parts: Callable[[Any], Iterator[tuple[str, Way, Any]]] = lambda value: iter(())


@functools.cache
def way_of(type_: Any, direction: Direction) -> Way:
    """The way of a storable type."""
    origin = typing.get_origin(type_)
    is_back = direction is Direction.BACK
    if type_ in SCALARS:
        to, back = SCALARS[type_]
        return Way(back if is_back else to)
    if isinstance(type_, typing.NewType):
        return way_of(type_.__supertype__, direction)
    if origin is typing.Literal:
        return Way(literal(type_, Unknown if is_back else Mismatch))
    if origin in (list, tuple):
        return _sequence(type_, direction)
    if origin is dict:
        return _dict(type_, direction)
    if is_enum(type_):
        return Way(enum_from(type_) if is_back else enum_to(type_))
    if origin in UNIONS:
        return union_way(type_, direction)
    if is_dataclass(type_):
        return _class_back(type_) if is_back else _class(type_, direction)
    raise Mismatch(f"{type_} cannot be stored")


def path_to_mismatch(way: Way, value: Any) -> str:
    """Where, in a value that did not convert, the culprit is: such as `.lines[2].cents`."""
    path = ""
    while True:
        for place, inner, part in way.parts(value):
            try:
                inner.convert(part)
            except Mismatch:
                path += place
                way, value = inner, part
                break
        else:
            return path


# --------------------------------------------------------------------------------------------- containers


def _sequence(type_: Any, direction: Direction) -> Way:
    python: Any = typing.get_origin(type_)
    accepts, makes = (list, python) if direction is Direction.BACK else (python, list)
    if python is list or Ellipsis in typing.get_args(type_):
        return _items(way_of(typing.get_args(type_)[0], direction), accepts, makes)
    return _fixed([way_of(argument, direction) for argument in typing.get_args(type_)], accepts, makes)


def _items(way: Way, accepts: Any, makes: Callable[[Any], Any]) -> Way:
    """For list[X] and tuple[X, ...]: an `accepts` in, a `makes` of the converted items out."""
    one = way.convert

    def convert(value: Any) -> Any:
        if type(value) is not accepts:
            raise Mismatch(f"{shown(value)} is not a {accepts.__name__}")
        return makes([one(item) for item in value])

    def parts(value: Any) -> Iterator[tuple[str, Way, Any]]:
        if type(value) is accepts:
            yield from ((f"[{index}]", way, item) for index, item in enumerate(value))

    return Way(convert, parts)


def _fixed(ways: list[Way], accepts: Any, makes: Callable[[Any], Any]) -> Way:
    """For tuple[X, Y]."""
    converts = [way.convert for way in ways]

    def convert(value: Any) -> Any:
        if type(value) is not accepts or len(value) != len(converts):
            raise Mismatch(f"{shown(value)} is not a {accepts.__name__} of {len(converts)}")
        return makes([one(item) for one, item in zip(converts, value, strict=True)])

    def parts(value: Any) -> Iterator[tuple[str, Way, Any]]:
        if type(value) is accepts and len(value) == len(ways):
            yield from ((f"[{index}]", way, value[index]) for index, way in enumerate(ways))

    return Way(convert, parts)


def _dict(type_: Any, direction: Direction) -> Way:
    keys, values = (way_of(argument, direction) for argument in typing.get_args(type_))
    one_key, one_value = keys.convert, values.convert

    def convert(value: Any) -> Any:
        if type(value) is not dict:
            raise Mismatch(f"{shown(value)} is not a dict")
        converted = {one_key(key): one_value(item) for key, item in value.items()}
        if len(converted) != len(value):
            raise Mismatch(f"{shown(value)} has two keys that are one when they are stored")
        return converted

    def parts(value: Any) -> Iterator[tuple[str, Way, Any]]:
        if type(value) is dict:
            yield from ((f" key {shown(key)}", keys, key) for key in value)
            yield from ((f"[{shown(key)}]", values, item) for key, item in value.items())

    return Way(convert, parts)


# -------------------------------------------------------------------------------- dataclasses and unions


def _class(cls: Any, direction: Direction) -> Way:
    """For a dataclass, to plain values."""
    is_sparse = direction is Direction.SPARSE

    @functools.cache  # made at the first value, since a dataclass may contain itself
    def made() -> tuple[Convert, list[Default]]:
        hooks: dict[str, Any] = {
            name: override(unstruct_hook=way_of(type_, direction).convert) for name, type_ in field_types(cls).items()
        }
        return make_dict_unstructure_fn(cls, _converter, **hooks), _defaults(cls) if is_sparse else []

    def convert(value: Any) -> Any:
        if type(value) is not cls:
            raise Mismatch(f"{shown(value)} is not a {cls.__name__}")
        whole, defaults = made()
        try:
            raw = whole(value)
        except AttributeError as error:
            raise Mismatch(f"this {cls.__name__} is not complete: {error}") from None
        for default in defaults:
            if default.is_same(raw[default.name]):
                del raw[default.name]
        return raw

    def parts(value: Any) -> Iterator[tuple[str, Way, Any]]:
        kind: Any = type(value)
        if kind is cls:
            for name, type_ in field_types(cls).items():
                if hasattr(value, name):
                    yield f".{name}", way_of(type_, direction), getattr(value, name)

    return Way(convert, parts)


def _class_back(cls: Any) -> Way:
    """For a dataclass, back from plain values."""

    @functools.cache
    def made() -> Callable[[Any, Any], Any]:
        hooks: dict[str, Any] = {
            name: override(struct_hook=_two_arguments(type_)) for name, type_ in field_types(cls).items()
        }
        return make_dict_structure_fn(
            cls, _converter, _cattrs_forbid_extra_keys=True, _cattrs_detailed_validation=False, **hooks
        )

    def convert(raw: Any) -> Any:
        if type(raw) is not dict:
            raise Mismatch(f"{shown(raw)} is not a map of the fields of {cls.__name__}")
        try:
            return made()(raw, cls)
        except (Mismatch, RecursionError):
            raise
        except cattrs.ForbiddenExtraKeysError as error:
            names = ", ".join(sorted(map(shown, error.extra_fields)))
            raise Unknown(f"{cls.__name__} has no field {names}") from None
        except Exception as error:  # a class may refuse its fields with any
            raise Mismatch(_why_not_made(cls, raw, error)) from error

    def parts(raw: Any) -> Iterator[tuple[str, Way, Any]]:
        if type(raw) is dict:
            types_ = field_types(cls)
            yield from ((f".{name}", way_of(types_[name], Direction.BACK), raw[name]) for name in types_ if name in raw)

    return Way(convert, parts)


def _why_not_made(cls: Any, raw: dict[str, Any], error: Exception) -> str:
    for field in dataclasses.fields(cls):
        has_default = field.default is not MISSING or field.default_factory is not MISSING
        if field.init and not has_default and field.name not in raw:
            return f"{cls.__name__} lacks its field {field.name!r}, which has no default"
    return f"{cls.__name__} refuses its stored fields: {type(error).__name__}: {message_of(error)}"


def _two_arguments(type_: Any) -> Callable[[Any, Any], Any]:
    """The conversion of a field as cattrs calls it, with the type that it knows already."""
    convert: Any = way_of(type_, Direction.BACK).convert
    if type_ in PLAIN:
        return convert  # type: ignore[no-any-return]  # they take and ignore it, which saves a call for the most frequent types
    return lambda raw, _type: convert(raw)


def union_way(union: Any, direction: Direction) -> Way:
    """The way of a union, or of a single dataclass that is to have its tag all the same."""
    return _union_back(union) if direction is Direction.BACK else _union(union, direction)


def _union(union: Any, direction: Direction) -> Way:
    ways = {cls: way_of(cls, direction) for cls in members_by_tag(union).values()}
    tagged = {cls: (cls.__name__, way.convert) for cls, way in ways.items()}
    others = _other_members(union, direction)
    names = ", ".join(_names(union))

    def convert(value: Any) -> Any:
        found = tagged.get(type(value))
        if found is not None:
            return {TAG: found[0], **found[1](value)}
        if others is not None:
            return others(value)
        raise Mismatch(f"{shown(value)} is not one of {names}")

    def parts(value: Any) -> Iterator[tuple[str, Way, Any]]:
        if type(value) in ways:
            yield "", ways[type(value)], value

    return Way(convert, parts)


def _union_back(union: Any) -> Way:
    ways = {tag: way_of(cls, Direction.BACK) for tag, cls in members_by_tag(union).items()}
    others = _other_members(union, Direction.BACK)
    names = ", ".join(_names(union))

    def convert(raw: Any) -> Any:
        if type(raw) is dict and ways:
            tag = raw.get(TAG)
            if type(tag) is not str:
                raise Mismatch(f"{shown(raw)} has no tag, which says of which type it is: {', '.join(ways)}")
            if tag not in ways:
                raise Unknown(f"the tag {shown(tag)} is unknown; known are {', '.join(ways)}")
            return ways[tag].convert(_untagged(raw))
        if others is not None:
            return others(raw)
        raise Mismatch(f"{shown(raw)} is not one of {names}")

    def parts(raw: Any) -> Iterator[tuple[str, Way, Any]]:
        if type(raw) is dict and type(raw.get(TAG)) is str and raw[TAG] in ways:
            yield "", ways[raw[TAG]], _untagged(raw)

    return Way(convert, parts)


def _untagged(raw: dict[str, Any]) -> dict[str, Any]:
    return {name: part for name, part in raw.items() if name != TAG}


def _other_members(union: Any, direction: Direction) -> Convert | None:
    """Converts the values of the union's members that are not dataclasses; None if it has no such members."""
    plain = {one: way_of(one, direction).convert for one in typing.get_args(union) if not is_dataclass(one)}
    if not plain:
        return None
    nullable = plain.pop(type(None), None) is not None
    if len(plain) == 1 and not members_by_tag(union):
        (only,) = plain.values()
        return lambda value: None if value is None and nullable else only(value)
    names = ", ".join(_names(union))

    def convert(value: Any) -> Any:
        if value is None and nullable:
            return None
        found = plain.get(type(value))
        if found is None:
            raise Mismatch(f"{shown(value)} is not one of {names}")
        return found(value)

    return convert


def _names(union: Any) -> list[str]:
    if is_dataclass(union):
        return [union.__name__]
    return [
        "None" if member is type(None) else getattr(member, "__name__", str(member))
        for member in typing.get_args(union)
    ]


# ----------------------------------------------------------------------------------------------- defaults


class Default(NamedTuple):
    """The default of a field, which is not stored.

    Attributes:
        raw: as a plain value.
        packed: its bytes, where Python takes other plain values for equal to it.
    """

    name: str
    raw: Any
    packed: bytes | None

    def is_same(self, raw: Any) -> bool:
        """Whether a plain value is this one, and not only equal to it, as 0, False and 0.0 are."""
        if type(raw) is not type(self.raw) or raw != self.raw:
            return False
        return self.packed is None or plain.to_bytes(raw) == self.packed


def _defaults(cls: Any) -> list[Default]:
    """The defaults of the fields of a dataclass that reading fills in exactly as they are."""
    found = []
    for field in dataclasses.fields(cls):
        value = field.default_factory() if field.default_factory in EMPTY else field.default
        if not field.init or value is MISSING:
            continue
        type_ = field_types(cls)[field.name]
        try:
            raw = way_of(type_, Direction.SPARSE).convert(value)
            again = way_of(type_, Direction.BACK).convert(raw)
        except Mismatch:  # such as None for a field that is declared as an int
            continue
        if _is_alike(value, again):
            exact = raw is None or type(raw) in (bool, int, str, bytes) or raw in ([], {})
            found.append(Default(field.name, raw, None if exact else plain.to_bytes(raw)))
    return found


def _is_alike(one: Any, two: Any) -> bool:
    """Whether two values are the same with the types of all their parts."""
    kind: Any = type(one)
    if type(two) is not kind:
        return False
    if isinstance(one, list | tuple):
        return len(one) == len(two) and all(map(_is_alike, one, two))
    if isinstance(one, dict):
        return _is_alike(list(one.items()), list(two.items()))
    if dataclasses.is_dataclass(one):
        return all(_is_alike(getattr(one, field.name), getattr(two, field.name)) for field in dataclasses.fields(one))
    return repr(one) == repr(two) if kind is float else bool(one == two)


_converter = cattrs.Converter(detailed_validation=False)
