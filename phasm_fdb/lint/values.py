"""What an expression of a machine's code stands for, as far as its text and its loaded modules tell."""

from __future__ import annotations

import dataclasses
import enum
import functools
import inspect
import types
import typing
from dataclasses import dataclass
from types import FunctionType, MethodType, ModuleType
from typing import Any

from phasm_fdb.fields.field import Field
from phasm_fdb.storable import UNIONS


@dataclass(frozen=True)
class Known:
    """This object: a module, a function, a global."""

    value: Any


@dataclass(frozen=True)
class Made:
    """Some instance of a class, made while the machine runs."""

    cls: type


@dataclass(frozen=True)
class Bound:
    """A method or property of an object.

    Attributes:
        self_value: what its first argument is.
        owner: the class that has it, which `super()` goes on from.
        is_property: it is called by being looked up.
        wrappers: what its decorators call in its place.
    """

    function: FunctionType
    self_value: Known | Made
    owner: type
    is_property: bool = False
    wrappers: tuple[FunctionType, ...] = ()


@dataclass(frozen=True)
class Above:
    """What `super()` gives: the classes behind `owner` in the order of `cls`."""

    owner: type
    cls: type
    self_value: Known | Made


Value = Known | Made | Bound | Above | None


def type_of(value: Value) -> type | None:
    """The class of the object, if it is known."""
    if isinstance(value, Made):
        return value.cls
    return type(value.value) if isinstance(value, Known) else None


def attribute(value: Value, name: str) -> Value:
    """What `.name` of it is; a property as the `Bound` that computes it."""
    if isinstance(value, Above):
        order = value.cls.__mro__
        behind = order[order.index(value.owner) + 1 :] if value.owner in order else ()
        return _of_class(behind, name, value.self_value)
    if isinstance(value, Made):
        return _of_made(value, name)
    if not isinstance(value, Known):
        return None
    known = value.value
    if isinstance(known, ModuleType):
        return _of_module(known, name)
    if isinstance(known, type):
        return _of_type(known, name)
    own = getattr(known, "__dict__", None)
    if isinstance(own, dict) and name in own:
        return Known(own[name])
    return _of_class(type(known).__mro__, name, value)


def owner_of(value: Value, name: str) -> type | None:
    """The class that gives an object, or a class, its attribute of that name."""
    return next(iter(owners_of(value, name)[-1:]), None)


def owners_of(value: Value, name: str) -> list[type]:
    """The classes by whose name an attribute of an object, or of a class, is known: up to the one that gives it."""
    cls = value.value if isinstance(value, Known) and isinstance(value.value, type) else type_of(value)
    order = () if cls is None else cls.__mro__
    place = next((place for place, base in enumerate(order) if name in vars(base)), None)
    return [] if place is None else list(order[: place + 1])


def annotated(annotation: Any, namespace: dict[str, Any]) -> Value:
    """What a variable of that annotation holds.

    Args:
        annotation: an object, or the text of one.
        namespace: the globals that the text is about.
    """
    if isinstance(annotation, str):
        try:
            annotation = eval(annotation, dict(namespace))
        except Exception:
            return None  # a name that only type checkers know
    if typing.get_origin(annotation) in UNIONS:
        kinds = [kind for kind in typing.get_args(annotation) if kind is not type(None)]
        annotation = kinds[0] if len(kinds) == 1 else None
    annotation = typing.get_origin(annotation) or annotation
    return Made(annotation) if isinstance(annotation, type) and annotation not in (object, Any) else None


def annotations_of(function: FunctionType) -> dict[str, Any]:
    """The annotations of a function; none if they cannot be had, since Python 3.14 evaluates them when it is asked."""
    try:
        return function.__annotations__
    except NameError:  # a name that only type checkers know
        return {}


def plain_function(value: Any) -> FunctionType | None:
    """The function written in Python that a callable calls in the end; None if there is none."""
    functions = functions_of(value)
    return functions[-1] if functions else None


def functions_of(value: Any) -> list[FunctionType]:
    """The functions written in Python that a callable calls: the wrappers of decorators, and last what they wrap."""
    found = []
    while True:
        if isinstance(value, FunctionType):
            found.append(value)
        if isinstance(value, functools.partial):
            value = value.func
        elif isinstance(value, MethodType | staticmethod | classmethod):
            value = value.__func__
        elif isinstance(getattr(value, "__wrapped__", None), FunctionType):
            value = value.__wrapped__
        else:
            return found


def callables_in(value: Any) -> list[Any]:
    """What may be called out of an object: the functions of a table, or those that a generic function chooses from."""
    registry = getattr(value, "registry", None)
    if isinstance(value, FunctionType) and isinstance(registry, types.MappingProxyType):  # functools.singledispatch
        return list(registry.values())
    if isinstance(value, dict):
        return list(value.values())
    return list(value) if isinstance(value, list | tuple) else []


# ---------------------------------------------------------------------------------------------- attributes


def _of_module(module: ModuleType, name: str) -> Value:
    try:
        return Known(getattr(module, name))
    except Exception:
        return None


def _of_type(cls: type, name: str) -> Value:
    if isinstance(cls, enum.EnumMeta) and name in cls.__members__:
        return Known(cls.__members__[name])
    for base in cls.__mro__:
        if name in vars(base):
            raw = vars(base)[name]
            if isinstance(raw, classmethod):
                return _bound(raw.__func__, Known(cls), base)
            return Known(raw.__func__ if isinstance(raw, staticmethod) else raw)
    return None


def _of_made(value: Made, name: str) -> Value:
    """A field of a dataclass has a class attribute for its default, which says less than its annotation."""
    cls = value.cls
    if dataclasses.is_dataclass(cls):
        for one in dataclasses.fields(cls):
            if one.name == name:
                return annotated(one.type, _namespace(cls, one))
    return _of_class(cls.__mro__, name, value)


def _of_class(classes: tuple[type, ...], name: str, self_value: Known | Made) -> Value:
    for base in classes:
        if name in vars(base):
            raw = vars(base)[name]
            if isinstance(raw, property):
                return _bound(raw.fget, self_value, base, is_property=True)
            if isinstance(raw, functools.cached_property):
                return _bound(raw.func, self_value, base, is_property=True)
            if isinstance(raw, classmethod):
                return _bound(raw.__func__, Known(type_of(self_value)), base)
            if isinstance(raw, staticmethod):
                return Known(raw.__func__)
            if isinstance(raw, FunctionType) or plain_function(raw) is not None:
                return _bound(raw, self_value, base)
            # What a descriptor gives is not known here: a field of the State is an accessor to one transaction.
            return None if isinstance(raw, Field) or inspect.isdatadescriptor(raw) else Known(raw)
    return None


def _bound(raw: Any, self_value: Known | Made, owner: type, is_property: bool = False) -> Value:
    functions = functions_of(raw)
    return Bound(functions[-1], self_value, owner, is_property, tuple(functions[:-1])) if functions else None


def _namespace(cls: type, field: dataclasses.Field[Any]) -> dict[str, Any]:
    """The globals of the class that annotates a field: the first of those that have it, each inheriting it."""
    has = [base for base in cls.__mro__ if vars(base).get("__dataclass_fields__", {}).get(field.name) is field]
    owner = has[-1] if has else cls
    module = inspect.getmodule(owner)
    return {} if module is None else vars(module)
