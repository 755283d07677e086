"""Which types have a stored form, which of those are always small, and which nobody can change a value of."""

from __future__ import annotations

import dataclasses
import enum
import functools
import types
import typing
from typing import Any
from uuid import UUID

from fdb.tuple import Versionstamp

from phasm_fdb.errors import MachineDefinitionError, shown

#: The types whose values MessagePack keeps as they are.
PLAIN = (bool, int, float, str, bytes)
UNIONS = (typing.Union, types.UnionType)

Arguments = tuple[Any, ...]


def refuse_unstorable(type_: Any, above: frozenset[Any] = frozenset()) -> None:
    """Raise a MachineDefinitionError if the type, or a part of it, has no stored form.

    The message names the part and what to use instead. `above` holds the dataclasses that are being looked at, so
    that a type may contain itself.
    """
    origin, arguments = typing.get_origin(type_), typing.get_args(type_)
    if type_ in (set, frozenset) or origin in (set, frozenset):
        raise MachineDefinitionError(
            f"{name_of(type_)} has no order of its own, so processes would store it differently; "
            "use a tuple or list, or a Map in the state"
        )
    if type_ in (Any, None, type(None), UUID, Versionstamp, *PLAIN):
        return
    if origin is typing.Literal:
        for value in arguments:
            _refuse_constant(value, (int, str, bytes, bool, type(None)), f"{type_} holds")
    elif is_enum(type_):
        for member in type_:
            _refuse_constant(member.value, (int, str), f"{member} has the value")
    elif isinstance(type_, typing.NewType):
        refuse_unstorable(type_.__supertype__, above)
    elif origin in (list, tuple, dict, *UNIONS):
        for argument in arguments:
            if argument is not Ellipsis:
                refuse_unstorable(argument, above)
        if origin is dict:
            _refuse_dict_key(arguments[0])
        if origin in UNIONS:
            _refuse_union(type_)
    elif is_dataclass(type_):
        if type_ not in above:
            _refuse_fields(type_, above | {type_})
    else:
        raise MachineDefinitionError(
            f"{name_of(type_)} cannot be stored: use a dataclass, an enum, int, str, bytes, bool, float, UUID, None, "
            "or list, dict, tuple and unions of those (times as integer milliseconds, money as integer cents)"
        )


def _refuse_constant(value: Any, kinds: tuple[type, ...], what: str) -> None:
    """Refuse a value of an enum or a Literal that is not stored as it is."""
    if type(value) not in kinds:
        names = " or ".join("None" if kind is type(None) else kind.__name__ for kind in kinds)
        raise MachineDefinitionError(f"{what} {shown(value)}, which is not stored as it is: use {names}")
    if type(value) is int and not -(2**63) <= value < 2**64:
        raise MachineDefinitionError(f"{what} {shown(value)}, which does not fit in 64 bits")
    if type(value) is str and value != value.encode("utf-8", "replace").decode():
        raise MachineDefinitionError(f"{what} {shown(value)}, which has no UTF-8 form")


def _refuse_dict_key(type_: Any) -> None:
    """Refuse a type for the keys of a dict whose stored form is no key of a dict: a list, or a map of fields."""
    if isinstance(type_, typing.NewType):
        return _refuse_dict_key(type_.__supertype__)
    if typing.get_origin(type_) in UNIONS:
        for argument in typing.get_args(type_):
            _refuse_dict_key(argument)
    elif is_dataclass(type_) or typing.get_origin(type_) in (list, tuple, dict):
        raise MachineDefinitionError(
            f"{name_of(type_)} cannot be the key of a stored dict: use int, str, bytes, an enum or a UUID, or a Map in "
            "the state, whose keys may be tuples and dataclasses"
        )
    return None


def _refuse_fields(type_: Any, above: frozenset[Any]) -> None:
    for name, annotation in field_types(type_).items():
        try:
            refuse_unstorable(annotation, above)
        except MachineDefinitionError as error:
            raise MachineDefinitionError(f"{type_.__name__}.{name}: {error}") from None


def _refuse_union(union: Any) -> None:
    members_by_tag(union)
    others = [member for member in typing.get_args(union) if not is_dataclass(member) and member is not type(None)]
    alone = len(others) == 1 and not members_by_tag(union)
    if not alone and any(member not in PLAIN for member in others):
        raise MachineDefinitionError(
            f"{union} mixes types that cannot be told apart when stored: a union holds dataclasses, None, bool, int, "
            "float, str and bytes; wrap the others in a dataclass"
        )


def is_bounded(type_: Any) -> bool:
    """Whether every value of the type is small, so that it never needs more than one row."""
    origin, arguments = typing.get_origin(type_), typing.get_args(type_)
    if type_ in (None, type(None), bool, int, float, UUID, Versionstamp) or origin is typing.Literal or is_enum(type_):
        return True
    if isinstance(type_, typing.NewType):
        return is_bounded(type_.__supertype__)
    if origin in UNIONS or (origin is tuple and Ellipsis not in arguments):
        return all(is_bounded(argument) for argument in arguments)
    if is_dataclass(type_):
        try:
            return all(is_bounded(annotation) for annotation in field_types(type_).values())
        except RecursionError:  # a type that contains itself can be as large as it likes
            return False
    return False


@functools.cache
def is_frozen(type_: Any, above: frozenset[Any] = frozenset()) -> bool:
    """Whether no value of the type can be changed in place: scalars, and frozen dataclasses and tuples of those.

    `above` holds the dataclasses that are being looked at, so that a type may contain itself.
    """
    origin, arguments = typing.get_origin(type_), typing.get_args(type_)
    if type_ in (None, type(None), UUID, Versionstamp, *PLAIN) or origin is typing.Literal or is_enum(type_):
        return True
    if isinstance(type_, typing.NewType):
        return is_frozen(type_.__supertype__, above)
    if origin in (tuple, *UNIONS):
        return all(argument is Ellipsis or is_frozen(argument, above) for argument in arguments)
    if not is_dataclass(type_) or not type_.__dataclass_params__.frozen:
        return False
    return type_ in above or all(is_frozen(one, above | {type_}) for one in field_types(type_).values())


def is_kept(type_: Any) -> bool:
    """Whether each value of the type is what comes back when it is stored and read, and nobody can change it.

    Not so a float: an int is taken for it, and comes back as a float.
    """
    return is_frozen(type_) and float not in types_within(type_)


def may_nest(type_: Any) -> bool:
    """Whether values of the type may lie in each other without end: it holds anything, or a part that holds itself."""
    within = types_within(type_)
    return Any in within or any(is_dataclass(one) and one in types_within(*_parts(one)) for one in within)


@functools.cache
def types_within(*types_: Any) -> frozenset[Any]:
    """The types themselves, and every type of what a value of theirs may hold."""
    found: set[Any] = set()
    waiting = list(types_)
    while waiting:
        one = waiting.pop()
        if one not in found:
            found.add(one)
            waiting += _parts(one)
    return frozenset(found)


def _parts(type_: Any) -> tuple[Any, ...]:
    """The types of what a value of the type holds."""
    if isinstance(type_, typing.NewType):
        return (type_.__supertype__,)
    if is_dataclass(type_):
        return tuple(field_types(type_).values())
    if typing.get_origin(type_) is typing.Literal:
        return ()
    return tuple(argument for argument in typing.get_args(type_) if argument is not Ellipsis)


@functools.cache
def field_types(cls: type) -> dict[str, Any]:
    """The declared type of each field of a dataclass, with string annotations resolved."""
    try:
        hints = typing.get_type_hints(cls)
    except NameError as error:
        raise MachineDefinitionError(
            f"{cls.__name__} has an annotation that cannot be resolved ({error}): define its types at module level"
        ) from None
    return {field.name: hints[field.name] for field in dataclasses.fields(cls)}


@functools.cache
def members_by_tag(union: Any) -> dict[str, type]:
    """The dataclasses of a union, or the dataclass itself, by tag and alias.

    The tag is the class name; `__aliases__` lists the names that the class had before, which still decode.
    """
    members: dict[str, type] = {}
    for member in (union,) if is_dataclass(union) else typing.get_args(union):
        if not is_dataclass(member):
            continue
        for tag in (member.__name__, *member.__dict__.get("__aliases__", ())):
            if tag in members:
                raise MachineDefinitionError(f"two members of {union} are called {tag!r}; rename one")
            members[tag] = member
    return members


def is_dataclass(type_: Any) -> bool:
    """Whether this is a dataclass, not an instance of one."""
    return isinstance(type_, type) and dataclasses.is_dataclass(type_)


def is_enum(type_: Any) -> bool:
    """Whether this is an enum class."""
    return isinstance(type_, type) and issubclass(type_, enum.Enum)


def name_of(type_: Any) -> str:
    """The type as errors name it."""
    return type_.__name__ if isinstance(type_, type) and not typing.get_args(type_) else str(type_)
