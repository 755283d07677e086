"""What differs by process: texts that have an address in them, and hashes that are asked for by name."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from types import FunctionType, GeneratorType, MethodType

from phasm_fdb.lint.finding import Finding, finding_at
from phasm_fdb.lint.rules import IDENTITY
from phasm_fdb.lint.scope import Scope
from phasm_fdb.lint.values import Bound, Known, type_of

#: Methods of every object that say where it lies, or how it was hashed, unless its class has its own.
ADDRESSES = ("__repr__", "__str__", "__format__")
WRITES = ("str", "repr", "ascii", "format", "print")


def check_identity(scope: Scope) -> Iterator[Finding]:
    """Findings for objects that are written with their address, and for `__hash__`."""
    for node in scope.nodes():
        for written in _written(node):
            if _has_address(scope, written):
                what = f"`{ast.unparse(written)}` is written as its class and its address"
                yield finding_at(scope.text.path, written, IDENTITY, what, scope.via)
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load) and _is_of_object(scope, node):
            yield finding_at(
                scope.text.path, node, IDENTITY, f"`{ast.unparse(node)}` depends on the process", scope.via
            )


def _written(node: ast.AST) -> Iterator[ast.expr]:
    """What a node makes a text of."""
    match node:
        case ast.FormattedValue():
            yield node.value
        case ast.Call(func=ast.Name(id=name), args=[first, *_]) if name in WRITES:
            yield first
        case ast.Call(func=ast.Attribute(value=ast.Constant(value=str()), attr="format")):
            yield from (*node.args, *(keyword.value for keyword in node.keywords))
        case ast.BinOp(left=ast.Constant(value=str()), op=ast.Mod(), right=right):
            yield from right.elts if isinstance(right, ast.Tuple) else [right]


def _has_address(scope: Scope, node: ast.expr) -> bool:
    """Whether an object is known to be written by `object.__repr__`, or as a function with its address."""
    value = scope.value(node)
    if isinstance(value, Bound):
        return True
    if isinstance(value, Known) and isinstance(value.value, type):
        return False  # a class is written by its name
    cls = type_of(value)
    if cls is None:
        return False
    if issubclass(cls, FunctionType | MethodType | GeneratorType):
        return True
    return all(getattr(cls, name) is getattr(object, name) for name in ("__repr__", "__str__", "__format__"))


def _is_of_object(scope: Scope, node: ast.Attribute) -> bool:
    """Whether `__hash__` is asked for by its name, or what `object` itself writes."""
    if node.attr == "__hash__":
        return True
    base = scope.value(node.value)
    return node.attr in ADDRESSES and isinstance(base, Known) and base.value is object
