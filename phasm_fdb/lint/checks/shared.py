"""State outside of the state: globals, class attributes, attributes of the machine, defaults and inputs that change."""

from __future__ import annotations

import ast
import collections
import functools
import inspect
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any, get_args

from phasm_fdb.lint.finding import Finding, LintError, finding_at
from phasm_fdb.lint.rules import SHARED_STATE
from phasm_fdb.lint.scope import Scope
from phasm_fdb.lint.text import text_of
from phasm_fdb.lint.values import Above, Bound, Known, Made, Value, owner_of, type_of
from phasm_fdb.machine import Normal, StateMachine, TrackedActionCompleted
from phasm_fdb.origin import is_project_module
from phasm_fdb.state import State

#: Types whose objects change in place.
MUTABLE = (list, dict, set, bytearray, collections.deque)

#: Methods that change an object of those types.
CHANGING = frozenset(
    ("append", "extend", "insert", "remove", "pop", "popitem", "clear", "sort", "reverse", "add", "discard", "update")
    + ("setdefault", "appendleft", "extendleft", "popleft", "rotate", "subtract", "move_to_end")
    + ("difference_update", "intersection_update", "symmetric_difference_update", "__setitem__", "__delitem__")
)


def check_shared(scope: Scope, machine: type[StateMachine]) -> Iterator[Finding]:
    """Findings for what a function keeps outside of the state, and for what it reads there and others change."""
    inputs = _inputs_of(machine)
    own_globals = {name for node in scope.nodes() if isinstance(node, ast.Global | ast.Nonlocal) for name in node.names}
    changed: set[ast.AST] = set()
    for node in scope.nodes():  # an expression comes before its parts
        for place, base in _changes(node):
            what = _kept(scope, base, own_globals, inputs)
            if what is not None:
                changed.update(ast.walk(place))
                yield finding_at(scope.text.path, place, SHARED_STATE, f"`{ast.unparse(place)}` {what}", scope.via)
        if node not in changed and isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Load):
            what = _read(scope, node, machine.__module__)
            if what is not None:
                yield finding_at(scope.text.path, node, SHARED_STATE, f"`{ast.unparse(node)}` {what}", scope.via)


# ------------------------------------------------------------------------------------------------- writing


def _changes(node: ast.AST) -> Iterator[tuple[ast.expr, ast.expr]]:
    """What a node changes in place, as (the changing expression, the expression of what is changed)."""
    match node:
        case ast.Call(func=ast.Attribute(value=base, attr=method)) if method in CHANGING:
            assert isinstance(node, ast.Call)
            yield node, base
        case ast.Subscript(value=base, ctx=ast.Store() | ast.Del()):
            assert isinstance(node, ast.Subscript)
            yield node, base
        case ast.Attribute(value=base, ctx=ast.Store() | ast.Del()):
            assert isinstance(node, ast.Attribute)
            yield node, base
        case ast.Name(ctx=ast.Store() | ast.Del()):
            assert isinstance(node, ast.Name)
            yield node, node


def _kept(scope: Scope, base: ast.expr, own_globals: set[str], inputs: frozenset[type]) -> str | None:
    """Why what is changed outlives the transition, if it does."""
    if isinstance(base, ast.Name) and isinstance(base.ctx, ast.Store | ast.Del):
        return "sets a variable that outlives the transition" if base.id in own_globals else None
    if _is_default(scope, base):
        return "changes a default, which all calls share"
    if _is_of_input(scope, base, inputs):
        return "changes the input, of which the next attempt finds what is left"
    value = scope.value(base)
    if isinstance(value, Known) and (not _is_code(value.value) or isinstance(value.value, type | ModuleType)):
        return f"changes `{ast.unparse(base)}`, which outlives the transition"
    if isinstance(value, Made) and issubclass(value.cls, StateMachine):
        return "changes the machine itself, which outlives the transition"
    return None


def _inputs_of(machine: type[StateMachine]) -> frozenset[type]:
    """The classes of a machine's inputs, and of what they carry."""
    carried = [part for declared in (machine.Input, machine.TrackedResult) for part in (declared, *get_args(declared))]
    return frozenset((Normal, TrackedActionCompleted, *(part for part in carried if isinstance(part, type))))


def _is_of_input(scope: Scope, base: ast.expr, inputs: frozenset[type]) -> bool:
    """Whether an expression is an argument that is an input or what one carries, or a part of it."""
    while isinstance(base, ast.Attribute | ast.Subscript):
        base = base.value
    return isinstance(base, ast.Name) and scope.is_argument(base.id) and type_of(scope.value(base)) in inputs


def _is_code(value: Any) -> bool:
    """Whether an object is no data: a function, class or module."""
    return callable(value) or isinstance(value, ModuleType)


def _is_default(scope: Scope, base: ast.expr) -> bool:
    """Whether an expression is an argument whose default changes in place."""
    if not isinstance(base, ast.Name):
        return False
    arguments = scope.node.args
    positional = [*arguments.posonlyargs, *arguments.args]
    defaults = [*zip(positional[::-1], arguments.defaults[::-1], strict=False)]
    defaults += [
        (one, default) for one, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True) if default
    ]
    return any(
        argument.arg == base.id and isinstance(scope.value(default), Made) and len(scope.bindings(base.id)) == 1
        for argument, default in defaults
        if isinstance(default, ast.List | ast.Dict | ast.Set | ast.Call)
    )


# ------------------------------------------------------------------------------------------------- reading


def _read(scope: Scope, node: ast.Name | ast.Attribute, project: str) -> str | None:
    """Why what is read may be another time something else, if it may."""
    value = scope.look_up(node)
    if _remembers_state(value):
        return "remembers results of earlier states"
    if isinstance(node, ast.Name):
        if scope.is_local(node.id) or node.id not in scope.function.__globals__:
            return None
        modules = _homes(scope.function.__globals__, node.id, project)
        return next((f"is changed by `{by}`" for module in modules for by in [_changer(module, node.id)] if by), None)
    base = scope.value(node.value)
    if isinstance(base, Known) and isinstance(base.value, ModuleType) and is_project_module(base.value, project):
        by = _changer(base.value, node.attr)
        return f"is changed by `{by}`" if by else None
    return _read_of_class(node, base, value)


def _read_of_class(node: ast.Attribute, base: Value, value: Value) -> str | None:
    """An attribute of the machine, or of a class, that a method of that class changes."""
    owner = owner_of(base, node.attr) or (type(base.value) if isinstance(base, Known) else None)
    if base is None or isinstance(base, Bound | Above) or owner is None or isinstance(value, Bound):
        return None
    keeps = isinstance(base, Known) or (isinstance(value, Known) and isinstance(value.value, MUTABLE))
    if not keeps or issubclass(owner, State) or (isinstance(value, Known) and _is_code(value.value)):
        return None
    by = _class_changer(owner, node.attr)
    return f"is changed by `{by}`" if by else None


def _remembers_state(value: Value) -> bool:
    """Whether it is a function that keeps its results, and takes a state: they are those of an earlier one."""
    function = value.value if isinstance(value, Known) else None
    if not isinstance(function, functools._lru_cache_wrapper):
        return False
    parameters = inspect.signature(function).parameters
    return "state" in parameters


def _homes(namespace: dict[str, Any], name: str, project: str) -> Iterator[ModuleType]:
    """The modules of the project in which a global may be changed: its own, and those that have it by that name."""
    value = namespace[name]
    own = namespace.get("__name__")
    for module in list(sys.modules.values()):
        if not isinstance(module, ModuleType) or not is_project_module(module, project):
            continue
        if module.__name__ == own or (isinstance(value, MUTABLE) and vars(module).get(name) is value):
            yield module


def _changer(module: ModuleType, name: str) -> str | None:
    """A function of a module that changes its global of that name; import-time code makes constants."""
    file = getattr(module, "__file__", None)
    return None if file is None else _changers(file).get(name)


def _class_changer(owner: type, name: str) -> str | None:
    """A method of a class, other than those that make the object, which changes its attribute of that name."""
    try:
        node = text_of(inspect.getfile(owner)).class_(owner.__qualname__)
    except (TypeError, LintError):  # a class without text, such as one of Python's own
        return None
    for method in [] if node is None else node.body:
        if isinstance(method, ast.FunctionDef | ast.AsyncFunctionDef) and method.name not in ("__init__", "__new__"):
            for part in ast.walk(method):
                if any(_names_attribute(base, name) for _, base in _changes(part)) or _stores(part, name):
                    return f"{owner.__name__}.{method.name}"
    return None


def _names_attribute(base: ast.expr, name: str) -> bool:
    return isinstance(base, ast.Attribute) and base.attr == name and isinstance(base.value, ast.Name)


def _stores(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Attribute) and node.attr == name and isinstance(node.ctx, ast.Store)


@functools.cache
def _changers(path: str) -> dict[str, str]:
    """The globals that the functions of a file change, each with one function that does."""
    try:
        text = text_of(path)
    except LintError:
        return {}
    found: dict[str, str] = {}
    for function in ast.walk(text.tree):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            for name in _changed_globals(function):
                found.setdefault(name, function.name)
    return found


def _changed_globals(function: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[str]:
    nodes = list(ast.walk(function))
    declared = {name for node in nodes if isinstance(node, ast.Global) for name in node.names}
    stored = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    local = {node.arg for node in nodes if isinstance(node, ast.arg)} | stored - declared
    for node in nodes:
        for _, base in _changes(node):
            if isinstance(base, ast.Name) and base.id not in local:
                yield base.id
