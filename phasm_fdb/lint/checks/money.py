"""Floats as money or keys: sums of money lose cents, and keys that are equal on paper are two in the database."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
from collections.abc import Iterator
from typing import Any

from phasm_fdb.errors import MachineDefinitionError
from phasm_fdb.lint.finding import Finding, LintError, finding_at
from phasm_fdb.lint.reach import Reach
from phasm_fdb.lint.rules import FLOAT
from phasm_fdb.lint.scope import Scope
from phasm_fdb.lint.spoken import held_types, key_types, mentions
from phasm_fdb.lint.text import text_of
from phasm_fdb.lint.values import Known, Made
from phasm_fdb.storable import field_types

MONEY = frozenset(
    ("money", "cents", "cent", "amount", "amounts", "price", "prices", "balance", "balances", "cost", "costs", "fee")
    + ("fees", "tax", "salary", "wage", "revenue", "refund", "discount", "deposit", "credit", "debit", "dollars")
    + ("euros", "pounds", "usd", "eur", "gbp", "chf")
)


def is_money(name: str) -> bool:
    """Whether a name is about money: one of its words is."""
    words = re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)
    return any(word.lower() in MONEY for word in words)


# ------------------------------------------------------------------------------------------- declarations


def check_declarations(reach: Reach) -> Iterator[Finding]:
    """Findings for declared types: floats in the keys of the state, and in fields that are money by their name."""
    state: Any = getattr(reach.machine, "State", None)
    for name, field in getattr(state, "fields", {}).items():
        if any(mentions(type_, float) for type_ in key_types(field)):
            yield from _declared(state, name, "has floats as keys")
        elif is_money(name) and any(mentions(type_, float) for type_ in held_types(field)):
            yield from _declared(state, name, "holds money as floats")
    for cls in reach.classes:
        if dataclasses.is_dataclass(cls):
            yield from _fields(cls)


def _fields(cls: type) -> Iterator[Finding]:
    try:
        types = field_types(cls)
    except MachineDefinitionError:
        return
    for name, type_ in types.items():
        if is_money(name) and mentions(type_, float):
            yield from _declared(cls, name, "is money as a float")


def _declared(cls: type, name: str, what: str) -> Iterator[Finding]:
    """A finding where a class declares an attribute, in the class of the hierarchy that does."""
    for base in cls.__mro__:
        try:
            text = text_of(inspect.getfile(base))
        except (TypeError, LintError):  # a class without text, such as one of Python's own
            continue
        node = text.class_(base.__qualname__)
        declared = [statement for statement in ([] if node is None else node.body) if name in _targets(statement)]
        if declared:
            yield from (finding_at(text.path, one, FLOAT, f"`{base.__name__}.{name}` {what}") for one in declared)
            return


def _targets(statement: ast.stmt) -> list[str]:
    """The names that a statement assigns or declares."""
    targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
    return [target.id for target in targets if isinstance(target, ast.Name)]


# -------------------------------------------------------------------------------------------- expressions


def check_floats(scope: Scope) -> Iterator[Finding]:
    """Findings for arithmetic that makes floats of money, and for floats that are used as keys."""
    shown = {part for node in scope.nodes() if isinstance(node, ast.JoinedStr) for part in ast.walk(node)}
    for node in scope.nodes():
        what = None if node in shown else _problem(scope, node)
        if what is not None:
            assert isinstance(node, ast.expr | ast.stmt)
            yield finding_at(scope.text.path, node, FLOAT, f"`{ast.unparse(node)}` {what}", scope.via)


def _problem(scope: Scope, node: ast.AST) -> str | None:
    match node:
        case ast.BinOp(left=left, op=operator, right=right) | ast.AugAssign(target=left, op=operator, value=right):
            if isinstance(operator, ast.Div) and (_is_money(left) or _is_money(right)):
                return "divides money into a float"
            sides = (left, right), (right, left)
            if any(_is_money(one) and _is_float(scope, other) for one, other in sides):
                return "makes a float of money"
        case ast.Call(func=ast.Name(id="float"), args=[argument]) if _is_money(argument):
            return "makes a float of money"
        case ast.Subscript(slice=key) if _is_float(scope, key):
            return "uses a float as a key"
        case ast.Call(func=function, args=[id, *_]) if _is_float(scope, id):
            called = scope.value(function)
            if isinstance(called, Known) and getattr(called.value, "__name__", "") == "Tracked":
                return "uses a float as an id"
    return None


def _is_money(node: ast.expr) -> bool:
    name = node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""
    return is_money(name)


def _is_float(scope: Scope, node: ast.expr) -> bool:
    if isinstance(node, ast.Constant):
        return isinstance(node.value, float)
    if isinstance(node, ast.BinOp):
        return isinstance(node.op, ast.Div)
    value = scope.value(node)
    return value == Made(float) or (isinstance(value, Known) and isinstance(value.value, float))
