"""Which code a machine reaches: from its own functions, through everything that they mention.

Calls are followed by what names stand for in the loaded modules. Where the class of an object is not known, as for
what a Map gives, a method is looked for by its name in every class that the machine speaks or makes.
"""

from __future__ import annotations

import ast
import dataclasses
import sys
from types import CodeType, FunctionType
from typing import Any

from phasm_fdb.fields.index import Index
from phasm_fdb.lint.finding import LintError
from phasm_fdb.lint.scope import Scope
from phasm_fdb.lint.spoken import is_project_class, spoken_classes
from phasm_fdb.lint.values import Bound, Known, Made, Value, attribute, callables_in, functions_of
from phasm_fdb.machine import Normal, StateMachine
from phasm_fdb.origin import is_project_module
from phasm_fdb.state import State

#: The functions of a machine, with the place of the argument that is its state.
ENTRIES = {"stf": 1, "restore": 1, "check_invariants": 1, "check_changes": 1, "migrate": 1}

#: Methods that are called when an object is made, and those that operators call.
MAKING = ("__new__", "__init__", "__post_init__")
OPERATORS = (
    *("__eq__", "__lt__", "__le__", "__gt__", "__ge__", "__contains__", "__iter__", "__len__", "__bool__"),
    *("__getitem__", "__setitem__", "__call__", "__enter__", "__exit__", "__neg__", "__abs__"),
    *("__add__", "__sub__", "__mul__", "__floordiv__", "__truediv__", "__mod__", "__radd__", "__iadd__"),
)


class Reach:
    """Everything that a machine's functions reach.

    Args:
        machine: a machine, or its class where none can be made.

    Attributes:
        scopes: the reached functions, the machine's own ones first.
        classes: the classes that the machine speaks or makes.

    Raises:
        LintError: the machine's own functions cannot be read.
    """

    def __init__(self, machine: StateMachine | type[StateMachine]) -> None:
        self.machine: type[StateMachine] = machine if isinstance(machine, type) else type(machine)
        self.scopes: list[Scope] = []
        self.classes: dict[type, tuple[str, ...]] = {}
        self._self_value = Made(machine) if isinstance(machine, type) else Known(machine)
        self._seen: set[tuple[CodeType, Any]] = set()
        self._unresolved: dict[str, tuple[str, ...]] = {}
        self._waiting: list[Scope] = []
        self._enter()
        while self._waiting:
            scope = self._waiting.pop(0)
            self.scopes.append(scope)
            self._follow(scope)

    # ---------------------------------------------------------------------------------------------- entries

    def _enter(self) -> None:
        state = getattr(self.machine, "State", None)
        for name, place in ENTRIES.items():
            found = attribute(self._self_value, name)
            if isinstance(found, Bound) and found.owner is not StateMachine:
                given = {place: Made(state)} if isinstance(state, type) else {}
                if name == "stf":
                    given[place + 1] = Made(Normal)
                scope = Scope(found.function, self._self_value, found.owner, (name,), given)
                self._seen.add((found.function.__code__, _class_key(self._self_value)))
                self._waiting.append(scope)
                self._reach(found, ())
        if isinstance(state, type) and issubclass(state, State):
            for name, field in state.fields.items():
                if isinstance(field, Index):
                    self._reach(Known(field.key), (f"{state.__name__}.{name}",))
        for cls in spoken_classes(self.machine):
            self._meet(cls, (cls.__name__,))

    # ---------------------------------------------------------------------------------------------- following

    def _follow(self, scope: Scope) -> None:
        for node in scope.nodes():
            if isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Load):
                found = scope.look_up(node)
                self._reach(found, scope.via)
                if found is None and isinstance(node, ast.Attribute):
                    self._reach_by_name(node.attr, scope.via)
            elif isinstance(node, ast.Call):
                called = scope.value(node.func)
                if isinstance(called, Known) and isinstance(called.value, type):
                    self._meet(called.value, scope.via)

    def _reach(self, found: Value, via: tuple[str, ...]) -> None:
        """Look at a function or method that is mentioned: it may be called, here or by whom it is given to."""
        if isinstance(found, Bound):
            for wrapper in found.wrappers:
                self._add(wrapper, None, None, via)
            self._add(found.function, found.self_value, found.owner, via)
        elif isinstance(found, Known) and not isinstance(found.value, type):
            for callable_ in (found.value, *callables_in(found.value)):
                for function in functions_of(callable_):
                    self._add(function, None, None, via)

    def _reach_by_name(self, name: str, via: tuple[str, ...]) -> None:
        if name not in self._unresolved:
            self._unresolved[name] = via
            for cls in list(self.classes):
                self._reach(_method(cls, name), via)

    def _meet(self, cls: type, via: tuple[str, ...]) -> None:
        """A class whose objects the machine gets or makes."""
        if cls in self.classes or not is_project_class(cls, self.machine.__module__):
            return
        self.classes[cls] = via
        for name in (*MAKING, *OPERATORS):
            self._reach(_method(cls, name), via)
        for name, first in list(self._unresolved.items()):
            self._reach(_method(cls, name), first)
        for field in dataclasses.fields(cls) if dataclasses.is_dataclass(cls) else ():
            if field.default_factory is not dataclasses.MISSING:
                self._reach(Known(field.default_factory), (*via, f"{cls.__name__}.{field.name}"))

    def _add(
        self, function: FunctionType, self_value: Known | Made | None, owner: type | None, via: tuple[str, ...]
    ) -> None:
        key = (function.__code__, _class_key(self_value))
        if key in self._seen or not self._is_project(function):
            return
        self._seen.add(key)
        try:
            self._waiting.append(Scope(function, self_value, owner, (*via, function.__name__)))
        except LintError:
            if not _is_generated(function):
                raise

    def _is_project(self, function: FunctionType) -> bool:
        module = sys.modules.get(function.__globals__.get("__name__", ""))
        return module is not None and is_project_module(module, self.machine.__module__)


def _method(cls: type, name: str) -> Value:
    """The method or property of that name which a class is written with, or inherits from one that is."""
    found = attribute(Made(cls), name)
    return found if isinstance(found, Bound) else None


def _class_key(value: Known | Made | None) -> Any:
    return value.cls if isinstance(value, Made) else type(value)


def _is_generated(function: FunctionType) -> bool:
    """Whether a function was made by a decorator, such as the methods of a dataclass, and has no text."""
    return function.__code__.co_filename.startswith("<")
