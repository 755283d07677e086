"""The strict converter: each storable type's way to plain lists, maps and scalars, and back.

cattrs generates the code for a dataclass's fields, and calls the hooks here for their values: they are strict, where
its own would take "12" for an int. A hook raises `Mismatch`, which collects the path to the culprit on its way up;
the path is looked for only after a failure, so that the good case pays nothing for it.
"""

from __future__ import annotations

import functools
import typing
from collections.abc import Callable, Iterable
from typing import Any
from uuid import UUID

import cattrs
from cattrs.gen import make_dict_structure_fn, make_dict_unstructure_fn, override
from fdb.tuple import Versionstamp

from phasm_fdb.storable import PLAIN, UNIONS, field_types, is_dataclass, is_enum, members_by_tag

#: Where a tagged dataclass keeps its tag, beside its fields.
TAG = "$"

Hook = Callable[[Any], Any]


class Mismatch(TypeError):
    """A value is not of the expected type.

    Attributes:
        path: where the value is, from the outermost one, such as `.lines[2].cents`.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.path = ""


@functools.cache
def unstructure_hook(type_: Any) -> Hook:
    """The function that makes a value of the type plain, and raises `Mismatch` if it is not of that type."""
    return _make_hook(type_, storing=True)


@functools.cache
def structure_hook(type_: Any) -> Hook:
    """The function that makes a value of the type from what `unstructure_hook` gave."""
    return _make_hook(type_, storing=False)


def _locate(parts: Iterable[tuple[str, Hook, Any]]) -> None:
    """Raise the Mismatch of the first part that does not convert, with its place in front of the path."""
    for place, hook, part in parts:
        try:
            hook(part)
        except Mismatch as error:
            error.path = place + error.path
            raise


# ------------------------------------------------------------------------------------------------ scalars


def _exactly(type_: type) -> Hook:
    article = "an" if type_.__name__[0] in "aeiou" else "a"

    def check(value: Any, _type: Any = None) -> Any:
        if type(value) is not type_:
            raise Mismatch(f"{value!r} is not {article} {type_.__name__}")
        return value

    return check


def _int(value: Any, _type: Any = None) -> int:
    if type(value) is not int:
        raise Mismatch(f"{value!r} is not an int")
    if not -(2**63) <= value < 2**64:
        raise Mismatch(f"{value!r} does not fit in 64 bits")
    return value


def _float(value: Any, _type: Any = None) -> float:
    if type(value) is float or type(value) is int:
        return float(value)
    raise Mismatch(f"{value!r} is not a float")


def _plain(value: Any) -> Any:
    """A value of no declared type: only what MessagePack gives back as it was."""
    kind = type(value)
    if value is None or kind in (bool, str, bytes, float):
        return value
    if kind is int:
        return _int(value)
    if kind is list:
        return [_plain(item) for item in value]
    if kind is dict:
        return {_plain(key): _plain(item) for key, item in value.items()}
    raise Mismatch(f"{value!r} is not a plain value (None, bool, int, float, str, bytes, list, dict): declare its type")


def _uuid_to_bytes(value: Any) -> bytes:
    if type(value) is not UUID:
        raise Mismatch(f"{value!r} is not a UUID")
    return bytes(value.bytes)


def _uuid_from_bytes(raw: Any) -> UUID:
    if type(raw) is not bytes or len(raw) != 16:
        raise Mismatch(f"{raw!r} is not the 16 bytes of a UUID")
    return UUID(bytes=raw)


def _versionstamp_to_bytes(value: Any) -> bytes:
    if type(value) is not Versionstamp:
        raise Mismatch(f"{value!r} is not a Versionstamp")
    if not value.is_complete():
        raise Mismatch("an id from new_id() is unknown until the commit: it can be a key, not part of a value")
    return b"".join((value.tr_version, value.user_version.to_bytes(2, "big")))


def _versionstamp_from_bytes(raw: Any) -> Versionstamp:
    if type(raw) is not bytes or len(raw) != Versionstamp.LENGTH:
        raise Mismatch(f"{raw!r} is not the 12 bytes of a versionstamp")
    return Versionstamp.from_bytes(raw)


def _none(value: Any) -> None:
    if value is not None:
        raise Mismatch(f"{value!r} is not None")


def _unstructure_enum(cls: Any) -> Hook:
    def unstructure(member: Any) -> Any:
        if type(member) is not cls:
            raise Mismatch(f"{member!r} is not a {cls.__name__}")
        return member.value

    return unstructure


def _structure_enum(cls: Any) -> Hook:
    members = {(type(member.value), member.value): member for member in cls}

    def structure(raw: Any) -> Any:
        member = members.get((type(raw), raw))
        if member is None:
            raise Mismatch(f"{raw!r} is not a value of {cls.__name__}")
        return member

    return structure


def _literal(type_: Any) -> Hook:
    allowed = {(type(value), value) for value in typing.get_args(type_)}

    def check(value: Any) -> Any:
        if (type(value), value) not in allowed:
            raise Mismatch(f"{value!r} is not one of {', '.join(map(repr, typing.get_args(type_)))}")
        return value

    return check


# --------------------------------------------------------------------------------------------- containers


def _items(type_: Any, hook_of: Callable[[Any], Hook], accepts: type, makes: Callable[[Any], Any]) -> Hook:
    """For list[X] and tuple[X, ...]: an `accepts` in, a `makes` of the converted items out."""
    hook = hook_of(typing.get_args(type_)[0])

    def convert(value: Any) -> Any:
        kind: Any = type(value)
        if kind is not accepts:
            raise Mismatch(f"{value!r} is not a {accepts.__name__}")
        try:
            return makes([hook(item) for item in value])
        except Mismatch:
            _locate((f"[{index}]", hook, item) for index, item in enumerate(value))
            raise

    return convert


def _fixed(type_: Any, hook_of: Callable[[Any], Hook], accepts: type, makes: Callable[[Any], Any]) -> Hook:
    """For tuple[X, Y]."""
    hooks = [hook_of(argument) for argument in typing.get_args(type_)]

    def convert(value: Any) -> Any:
        kind: Any = type(value)
        if kind is not accepts or len(value) != len(hooks):
            raise Mismatch(f"{value!r} is not a {accepts.__name__} of {len(hooks)}")
        try:
            return makes([hook(item) for hook, item in zip(hooks, value, strict=True)])
        except Mismatch:
            _locate((f"[{index}]", hook, value[index]) for index, hook in enumerate(hooks))
            raise

    return convert


def _sequence(type_: Any, hook_of: Callable[[Any], Hook], storing: bool) -> Hook:
    python = typing.get_origin(type_)
    accepts, makes = (python, list) if storing else (list, python)
    make = _items if python is list or Ellipsis in typing.get_args(type_) else _fixed
    return make(type_, hook_of, accepts, makes)


def _dict(type_: Any, hook_of: Callable[[Any], Hook]) -> Hook:
    key_hook, value_hook = (hook_of(argument) for argument in typing.get_args(type_))

    def convert(value: Any) -> Any:
        if type(value) is not dict:
            raise Mismatch(f"{value!r} is not a dict")
        try:
            return {key_hook(key): value_hook(item) for key, item in value.items()}
        except Mismatch:
            _locate((f" key {key!r}", key_hook, key) for key in value)
            _locate((f"[{key!r}]", value_hook, item) for key, item in value.items())
            raise

    return convert


# -------------------------------------------------------------------------------- dataclasses and unions


def _fields(cls: Any) -> list[tuple[str, Any]]:
    return list(field_types(cls).items())


def _unstructure_dataclass(cls: Any) -> Hook:
    @functools.cache  # made at the first value, since a dataclass may contain itself
    def fields() -> Hook:
        hooks: dict[str, Any] = {name: override(unstruct_hook=unstructure_hook(type_)) for name, type_ in _fields(cls)}
        return make_dict_unstructure_fn(cls, _converter, **hooks)

    def unstructure(value: Any) -> Any:
        if type(value) is not cls:
            raise Mismatch(f"{value!r} is not a {cls.__name__}")
        try:
            return fields()(value)
        except Mismatch:
            _locate((f".{name}", unstructure_hook(type_), getattr(value, name)) for name, type_ in _fields(cls))
            raise

    return unstructure


def _structure_dataclass(cls: Any) -> Hook:
    @functools.cache
    def fields() -> Callable[[Any, Any], Any]:
        hooks: dict[str, Any] = {name: override(struct_hook=_two_arguments(type_)) for name, type_ in _fields(cls)}
        return make_dict_structure_fn(
            cls, _converter, _cattrs_forbid_extra_keys=True, _cattrs_detailed_validation=False, **hooks
        )

    def structure(raw: Any) -> Any:
        if type(raw) is not dict:
            raise Mismatch(f"{raw!r} is not a map of the fields of {cls.__name__}")
        try:
            return fields()(raw, cls)
        except Mismatch:
            types_ = field_types(cls)
            _locate((f".{name}", structure_hook(types_[name]), part) for name, part in raw.items() if name in types_)
            raise
        except cattrs.ForbiddenExtraKeysError as error:
            names = ", ".join(sorted(map(repr, error.extra_fields)))
            raise Mismatch(f"{cls.__name__} has no field {names}") from None
        except KeyError as error:
            raise Mismatch(f"{cls.__name__} lacks its field {error}, which has no default") from None

    return structure


def unstructure_union(union: Any) -> Hook:
    """For a union, or a single dataclass that is to have its tag all the same."""
    tagged = {cls: (cls.__name__, unstructure_hook(cls)) for cls in members_by_tag(union).values()}
    others = _other_members(union, unstructure_hook)
    names = ", ".join(_names(union))

    def unstructure(value: Any) -> Any:
        found = tagged.get(type(value))
        if found is not None:
            return {TAG: found[0], **found[1](value)}
        if others is not None:
            return others(value)
        raise Mismatch(f"{value!r} is not one of {names}")

    return unstructure


def structure_union(union: Any) -> Hook:
    """The way back from `unstructure_union`."""
    tagged = {tag: structure_hook(cls) for tag, cls in members_by_tag(union).items()}
    others = _other_members(union, structure_hook)
    names = ", ".join(_names(union))

    def structure(raw: Any) -> Any:
        if type(raw) is dict and tagged:
            found = tagged.get(str(raw.get(TAG)))
            if found is None:
                raise Mismatch(f"the tag {raw.get(TAG)!r} is unknown; known are {', '.join(tagged)}")
            return found({name: part for name, part in raw.items() if name != TAG})
        if others is not None:
            return others(raw)
        raise Mismatch(f"{raw!r} is not one of {names}")

    return structure


def _other_members(union: Any, hook_of: Callable[[Any], Hook]) -> Hook | None:
    """Converts the values of the union's members that are not dataclasses; None if it has no such members."""
    plain = {member: hook_of(member) for member in typing.get_args(union) if not is_dataclass(member)}
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
        hook = plain.get(type(value))
        if hook is None:
            raise Mismatch(f"{value!r} is not one of {names}")
        return hook(value)

    return convert


def _names(union: Any) -> list[str]:
    if is_dataclass(union):
        return [union.__name__]
    return [
        "None" if member is type(None) else getattr(member, "__name__", str(member))
        for member in typing.get_args(union)
    ]


# ------------------------------------------------------------------------------------------ the converter

_SCALARS: dict[Any, tuple[Hook, Hook]] = {
    bool: (_exactly(bool), _exactly(bool)),
    int: (_int, _int),
    float: (_float, _float),
    str: (_exactly(str), _exactly(str)),
    bytes: (_exactly(bytes), _exactly(bytes)),
    UUID: (_uuid_to_bytes, _uuid_from_bytes),
    Versionstamp: (_versionstamp_to_bytes, _versionstamp_from_bytes),
    type(None): (_none, _none),
    Any: (_plain, _plain),
}


def _make_hook(type_: Any, storing: bool) -> Hook:
    hook_of = unstructure_hook if storing else structure_hook
    origin = typing.get_origin(type_)
    if type_ is None:
        return _none
    if type_ in _SCALARS:
        return _SCALARS[type_][0 if storing else 1]
    if isinstance(type_, typing.NewType):
        return hook_of(type_.__supertype__)
    if origin is typing.Literal:
        return _literal(type_)
    if origin in UNIONS:
        return unstructure_union(type_) if storing else structure_union(type_)
    if origin in (list, tuple):
        return _sequence(type_, hook_of, storing)
    if origin is dict:
        return _dict(type_, hook_of)
    if is_enum(type_):
        return _unstructure_enum(type_) if storing else _structure_enum(type_)
    if is_dataclass(type_):
        return _unstructure_dataclass(type_) if storing else _structure_dataclass(type_)
    raise Mismatch(f"{type_} cannot be stored")


def _two_arguments(type_: Any) -> Callable[[Any, Any], Any]:
    """A structure hook as cattrs calls it, with the type that it knows already."""
    hook: Any = structure_hook(type_)
    if type_ in PLAIN:
        return hook  # type: ignore[no-any-return]  # they take and ignore it, which saves a call for the most frequent types
    return lambda raw, _type: hook(raw)


_converter = cattrs.Converter(detailed_validation=False)
