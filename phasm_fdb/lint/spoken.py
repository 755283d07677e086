"""The classes that a machine speaks: inputs, actions, results and replies, what its state holds, and their parts."""

from __future__ import annotations

import dataclasses
import sys
import typing
from collections.abc import Iterable
from typing import Any

from phasm_fdb.errors import MachineDefinitionError
from phasm_fdb.fields.index import Index
from phasm_fdb.fields.log import Log
from phasm_fdb.fields.map import Map
from phasm_fdb.fields.value import Value
from phasm_fdb.machine import StateMachine
from phasm_fdb.origin import is_project_module
from phasm_fdb.storable import field_types

DECLARED = ("Input", "TrackedAction", "TrackedResult", "UntrackedAction", "Reply")


def spoken_classes(machine: type[StateMachine]) -> list[type]:
    """Every class of the project that a value of the machine may be of, in a fixed order."""
    state = getattr(machine, "State", None)
    declared = [getattr(machine, name) for name in DECLARED]
    held = [one for field in getattr(state, "fields", {}).values() for one in held_types(field)]
    found: dict[type, None] = {}
    waiting = [*declared, *held]
    while waiting:
        type_ = waiting.pop(0)
        waiting.extend(typing.get_args(type_))
        if isinstance(type_, type) and type_ not in found and is_project_class(type_, machine.__module__):
            found[type_] = None
            waiting.extend(_parts(type_))
    return list(found)


def held_types(field: Any) -> list[Any]:
    """The declared types of a field of the State."""
    match field:
        case Map():
            return [field.key_type, field.value_type]
        case Index() | Log() | Value():
            return [field.type]
        case _:
            return []


def key_types(field: Any) -> list[Any]:
    """The declared types of the keys of a field of the State."""
    match field:
        case Map():
            return [field.key_type]
        case Index():
            return [field.type]
        case _:
            return []


def is_project_class(cls: type, machine_module: str) -> bool:
    """Whether a class is written in the project of the machine."""
    module = sys.modules.get(cls.__module__)
    return module is not None and is_project_module(module, machine_module)


def mentions(type_: Any, wanted: type) -> bool:
    """Whether a type is `wanted`, or has it as a part: of a union, of the elements of a tuple or list."""
    return type_ is wanted or any(mentions(argument, wanted) for argument in typing.get_args(type_))


def _parts(cls: type) -> Iterable[Any]:
    if not dataclasses.is_dataclass(cls):
        return ()
    try:
        return field_types(cls).values()
    except MachineDefinitionError:  # an annotation that cannot be resolved: making the layer says so
        return ()
