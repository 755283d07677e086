"""A function of the machine, and what the names in it stand for."""

from __future__ import annotations

import ast
import builtins
import importlib
from collections.abc import Iterator
from types import FunctionType
from typing import Any

from phasm_fdb.lint.text import FunctionNode, Text, node_of
from phasm_fdb.lint.values import Above, Bound, Known, Made, Value, annotated, annotations_of, attribute, type_of

#: What a local name was bound by: an expression, a pattern, an import, or something that tells nothing (None).
Binding = ast.expr | ast.MatchClass | Known | Made | None

DISPLAYS: dict[type[ast.expr], type] = {
    ast.Set: set,
    ast.SetComp: set,
    ast.List: list,
    ast.ListComp: list,
    ast.Dict: dict,
    ast.DictComp: dict,
    ast.Tuple: tuple,
    ast.JoinedStr: str,
}


class Scope:
    """A function that the machine reaches.

    Functions that are written inside it are looked at as parts of it.

    Args:
        function: the function.
        self_value: what its first argument is, for a method.
        owner: the class that has the method.
        via: how the machine gets here.
        given: what is known of other arguments, by position.

    Raises:
        LintError: there is no text of the function.
    """

    def __init__(
        self,
        function: FunctionType,
        self_value: Known | Made | None = None,
        owner: type | None = None,
        via: tuple[str, ...] = (),
        given: dict[int, Made] | None = None,
    ) -> None:
        self.function = function
        self.self_value = self_value
        self.owner = owner
        self.via = via
        self.text: Text
        self.node: FunctionNode
        self.text, self.node = node_of(function)
        self._cells = dict(zip(function.__code__.co_freevars, function.__closure__ or (), strict=True))
        self._locals: dict[str, list[Binding]] = {}
        self._resolving: set[str] = set()
        self._bind_arguments(given or {})
        globals_ = {name for node in ast.walk(self.node) if isinstance(node, ast.Global) for name in node.names}
        for name, binding in _bindings(self.node):
            if name not in globals_:
                self._locals.setdefault(name, []).append(binding)

    def nodes(self) -> Iterator[ast.AST]:
        """Every node of the function that is run: not its annotations and decorators."""
        body = self.node.body if isinstance(self.node.body, list) else [self.node.body]
        defaults = [*self.node.args.defaults, *(one for one in self.node.args.kw_defaults if one is not None)]
        waiting: list[ast.AST] = [*defaults, *body]
        while waiting:
            node = waiting.pop()
            yield node
            waiting.extend(_parts(node))

    def is_local(self, name: str) -> bool:
        """Whether a name is an argument or a variable of the function."""
        return name in self._locals

    def is_argument(self, name: str) -> bool:
        """Whether a name is an argument of the function, and nothing else."""
        arguments = self.node.args
        named = (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)
        return any(one.arg == name for one in named) and len(self._locals[name]) == 1

    def bindings(self, name: str) -> list[Binding]:
        """Everything that a local name is bound by."""
        return self._locals.get(name, [])

    def value(self, node: ast.expr) -> Value:
        """What an expression stands for; the result of a property, and not the property."""
        found = self.look_up(node)
        if isinstance(found, Bound) and found.is_property:
            return _result(found.function)
        return found

    def values(self, node: ast.expr) -> list[Value]:
        """What an expression may stand for: all of them, where a variable is set in several places."""
        if isinstance(node, ast.Name) and self.is_local(node.id) and node.id not in self._resolving:
            self._resolving.add(node.id)
            try:
                return [one for binding in self.bindings(node.id) for one in self._bound_values(binding)]
            finally:
                self._resolving.discard(node.id)
        if isinstance(node, ast.IfExp):
            return [*self.values(node.body), *self.values(node.orelse)]
        return [self.value(node)]

    def look_up(self, node: ast.expr) -> Value:
        """What an expression stands for; a property as what computes it."""
        if isinstance(node, ast.Name):
            return self._name(node.id)
        if isinstance(node, ast.Attribute):
            return attribute(self.value(node.value), node.attr)
        if isinstance(node, ast.Call):
            return self._call(node)
        if isinstance(node, ast.NamedExpr | ast.Await):
            return self.value(node.value)
        display = DISPLAYS.get(type(node))
        return None if display is None else Made(display)

    # ---------------------------------------------------------------------------------------------- names

    def _name(self, name: str) -> Value:
        if name in self._locals:
            if len(self._locals[name]) != 1 or name in self._resolving:
                return None
            self._resolving.add(name)
            try:
                (value,) = self._bound_values(self._locals[name][0]) or (None,)
                return value
            finally:
                self._resolving.discard(name)
        if name in self._cells:
            try:
                return Known(self._cells[name].cell_contents)
            except ValueError:  # not set yet
                return None
        for namespace in (self.function.__globals__, vars(builtins)):
            if name in namespace:
                return Known(namespace[name])
        return None

    def _bound_values(self, binding: Binding) -> list[Value]:
        if isinstance(binding, ast.MatchClass):
            cls = self.value(binding.cls)
            return [Made(cls.value) if isinstance(cls, Known) and isinstance(cls.value, type) else None]
        if isinstance(binding, ast.Name):
            return self.values(binding)[:1]
        return [self.value(binding)] if isinstance(binding, ast.expr) else [binding]

    def _call(self, node: ast.Call) -> Value:
        function = self.value(node.func)
        if isinstance(function, Bound):
            return _result(function.function)
        if not isinstance(function, Known):
            return None
        if function.value is super and self.owner is not None and self.self_value is not None:
            return Above(self.owner, _class_of(self.self_value), self.self_value)
        if function.value is type and len(node.args) == 1:
            cls = type_of(self.value(node.args[0]))
            return None if cls is None else Known(cls)
        if isinstance(function.value, type):
            return Made(function.value)
        return _result(function.value) if isinstance(function.value, FunctionType) else None

    def _bind_arguments(self, given: dict[int, Made]) -> None:
        arguments = self.node.args
        positional = [*arguments.posonlyargs, *arguments.args]
        for place, argument in enumerate(positional):
            known = self.self_value if place == 0 and self.self_value is not None else given.get(place)
            self._locals[argument.arg] = [known or self._annotated(argument.arg)]
        for argument in arguments.kwonlyargs:
            self._locals[argument.arg] = [self._annotated(argument.arg)]
        for rest in (arguments.vararg, arguments.kwarg):
            if rest is not None:
                self._locals[rest.arg] = [None]

    def _annotated(self, argument: str) -> Known | Made | None:
        annotation = annotations_of(self.function).get(argument)
        value = None if annotation is None else annotated(annotation, self.function.__globals__)
        return value if isinstance(value, Known | Made) else None


def _class_of(value: Known | Made) -> type:
    if isinstance(value, Made):
        return value.cls
    return value.value if isinstance(value.value, type) else type(value.value)


def _result(function: FunctionType) -> Value:
    annotation = annotations_of(function).get("return")
    return None if annotation is None else annotated(annotation, function.__globals__)


# ------------------------------------------------------------------------------------------------ bindings


def _parts(node: ast.AST) -> Iterator[ast.AST]:
    """The children of a node that are run."""
    if isinstance(node, ast.AnnAssign):
        yield from [node.target] if node.value is None else [node.target, node.value]
    elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        yield from [*node.args.defaults, *(one for one in node.args.kw_defaults if one is not None), *node.body]
    else:
        yield from ast.iter_child_nodes(node)


def _bindings(function: FunctionNode) -> Iterator[tuple[str, Binding]]:
    """The local names of a function, and of those that are written inside it, with what they are bound by."""
    told: set[int] = set()
    for node in ast.walk(function):
        if isinstance(node, ast.arguments) and node is not function.args:
            yield from ((argument.arg, None) for argument in [*node.posonlyargs, *node.args, *node.kwonlyargs])
        elif isinstance(node, ast.Import | ast.ImportFrom):
            yield from _imported(node)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and node is not function:
            yield node.name, None
        elif isinstance(node, ast.MatchAs | ast.MatchStar) and node.name is not None:
            pattern = node.pattern if isinstance(node, ast.MatchAs) else None
            yield node.name, pattern if isinstance(pattern, ast.MatchClass) else None
        elif isinstance(node, ast.ExceptHandler) and node.name is not None:
            yield node.name, None
        elif isinstance(node, ast.Assign | ast.AnnAssign | ast.NamedExpr):
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                if isinstance(target, ast.Name):
                    told.add(id(target))
                    yield target.id, node.value
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and id(node) not in told:
            yield node.id, None


def _imported(node: ast.Import | ast.ImportFrom) -> Iterator[tuple[str, Binding]]:
    for alias in node.names:
        name = alias.asname or alias.name.partition(".")[0]
        try:
            if isinstance(node, ast.Import):
                yield name, Known(importlib.import_module(alias.name if alias.asname else name))
            else:
                yield name, Known(_member(importlib.import_module(node.module or ""), alias.name))
        except Exception:  # it is not installed, or it is relative: then nothing is known of it
            yield name, None


def _member(module: Any, name: str) -> Any:
    return getattr(module, name) if hasattr(module, name) else importlib.import_module(f"{module.__name__}.{name}")
