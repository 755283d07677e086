"""Names that lead outside: clocks, chance, files and the rest of the doors; databases, output, and object identity."""

from __future__ import annotations

import ast
import inspect
import random
from collections.abc import Iterator
from types import ModuleType
from typing import Any

from phasm_fdb.lint.catalogue import CLOCK_UNLESS_GIVEN, FORMATS, LOCAL_ZONE, NOW, full_name, rule_for
from phasm_fdb.lint.finding import Finding, finding_at
from phasm_fdb.lint.rules import DATABASE, IDENTITY, OUTPUT, SHARED_STATE
from phasm_fdb.lint.scope import Scope
from phasm_fdb.lint.values import Bound, Known, Value, owners_of, type_of
from phasm_fdb.outside import DOORS, is_local_format
from phasm_fdb.state import State

#: What a name does, for the rules that are no doors.
DOES = {kind: door.does for kind, door in DOORS.items()} | {
    DATABASE: "goes around the state, to a database of its own",
    IDENTITY: "depends on the process: on where an object lies, or on how strings are hashed",
    OUTPUT: "writes something down for people",
    SHARED_STATE: "is kept outside of the state",
}


def check_doors(scope: Scope) -> Iterator[Finding]:
    """Findings for every name in a function that leads outside."""
    done: set[ast.AST] = set()
    for node in scope.nodes():  # an expression comes before its parts
        if isinstance(node, ast.Call):
            rule = _rule_for_call(scope, node)
            if rule != "":
                done.add(node.func)
            if rule:
                yield finding_at(scope.text.path, node, rule, _found(node, rule), scope.via)
        if isinstance(node, ast.FormattedValue) and _is_local_spec(node):
            yield finding_at(scope.text.path, node, "environment", _found(node, "environment"), scope.via)
        if node in done:
            done.update(ast.iter_child_nodes(node))
        elif isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Load):
            rule = _rule_for_name(scope, node)
            if rule:
                done.update(ast.iter_child_nodes(node))
                yield finding_at(scope.text.path, node, rule, _found(node, rule), scope.via)


def _rule_for_call(scope: Scope, call: ast.Call) -> str | None:
    """The rule for a call which depends on its arguments: None if it is allowed, "" if the name alone decides."""
    given = len(call.args) + len(call.keywords)
    attribute = call.func.attr if isinstance(call.func, ast.Attribute) else ""
    if attribute == "astimezone":
        return None if given else "environment"
    constants = [part.value for part in call.args if isinstance(part, ast.Constant)]
    if attribute in FORMATS and any(map(is_local_format, constants)):
        return "environment"
    for name in _full_names(scope, call.func):
        if name in NOW and any(constant in ("now", "today") for constant in constants):
            return "clock"
        if name in LOCAL_ZONE:
            return None if given > 1 else "environment"
        if name == "random.Random":
            return None if given else "random"
        if name in CLOCK_UNLESS_GIVEN and given > CLOCK_UNLESS_GIVEN[name]:
            return "environment" if name in ("time.localtime", "time.ctime") else None
    return ""


def _is_local_spec(node: ast.FormattedValue) -> bool:
    """Whether a part of an f-string is written in the language of the process: `{day:%B}`, `{number:n}`."""
    spec = node.format_spec
    texts = [str(part.value) for part in getattr(spec, "values", ()) if isinstance(part, ast.Constant)]
    return any(is_local_format(text) or ("%" not in text and text.endswith("n")) for text in texts)


def _rule_for_name(scope: Scope, node: ast.Name | ast.Attribute) -> str | None:
    if isinstance(node, ast.Attribute) and node.attr == "space":
        cls = type_of(scope.value(node.value))
        if cls is not None and issubclass(cls, State):
            return DATABASE
    rules = (rule_for(name) for name in _full_names(scope, node))
    found = next((rule for rule in rules if rule is not None), None)
    return found or _rule_for_object(scope.look_up(node))


def _rule_for_object(value: Value) -> str | None:
    """The rule that forbids to use an object that was made outside: a generator, a lock, a database."""
    if not isinstance(value, Known) or isinstance(value.value, type | ModuleType):
        return None
    known = value.value
    if isinstance(known, random.Random) or isinstance(_self_of(known), random.Random):
        return "random"
    if hasattr(type(known), "create_transaction"):
        return DATABASE
    names = (full_name(cls.__module__, cls.__qualname__) for cls in type(known).__mro__)
    return next((rule for rule in map(rule_for, names) if rule is not None), None)


def _self_of(function: object) -> object:
    try:
        return getattr(inspect.unwrap(function), "__self__", None)  # type: ignore[arg-type]
    except ValueError:
        return None


def _full_names(scope: Scope, node: ast.expr) -> Iterator[str]:
    """The names that an expression is known by: that of its place, and that of the object that is there."""
    value = scope.look_up(node)
    if isinstance(node, ast.Attribute):
        base = scope.value(node.value)
        if isinstance(base, Known) and isinstance(base.value, ModuleType):
            yield full_name(base.value.__name__, node.attr)
        for cls in owners_of(base, node.attr):
            yield full_name(cls.__module__, f"{cls.__qualname__}.{node.attr}")
    found: Any = value.function if isinstance(value, Bound) else value.value if isinstance(value, Known) else None
    if isinstance(found, ModuleType):
        yield found.__name__
    elif hasattr(found, "__qualname__") and hasattr(found, "__module__"):
        yield full_name(found.__module__, found.__qualname__)


def _found(node: ast.expr, rule: str) -> str:
    return f"`{ast.unparse(node)}` {DOES[rule]}"
