"""Orders that vary: whatever goes through a set meets its elements as they were hashed, which differs by process."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from phasm_fdb.lint.finding import Finding, finding_at
from phasm_fdb.lint.rules import SET_ORDER
from phasm_fdb.lint.scope import Scope
from phasm_fdb.lint.values import Known, type_of

#: Functions that go through what they are given, in its order. `sum` does so too: a sum of floats depends on it, and
#: floats are looked for by a rule of their own.
IN_ORDER = ("list", "tuple", "iter", "enumerate", "zip", "map", "filter", "reversed", "deque", "str", "repr", "format")
IN_ORDER_METHODS = ("join", "extend", "fromkeys", "from_iterable")

#: Functions whose result does not depend on the order, unless a key makes different elements equal.
WITHOUT_ORDER = ("any", "all", "sum", "len", "set", "frozenset", "sorted", "min", "max", "Counter")
BY_KEY = ("sorted", "min", "max", "nlargest", "nsmallest")

SETS_AGAIN = ("union", "intersection", "difference", "symmetric_difference", "copy")


def check_orders(scope: Scope) -> Iterator[Finding]:
    """Findings for everything in a function that depends on the order of a set."""
    unordered = _without_order(scope)
    for node in scope.nodes():
        for used, how in _uses(node):
            if node not in unordered and is_set(scope, used):
                yield finding_at(scope.text.path, used, SET_ORDER, f"`{ast.unparse(used)}` {how}", scope.via)


def is_set(scope: Scope, node: ast.expr, seen: frozenset[str] = frozenset()) -> bool:
    """Whether an expression is, or may be, a set; `seen` are the variables that are being looked at."""
    match node:
        case ast.BinOp(left=left, op=ast.BitOr() | ast.BitAnd() | ast.Sub() | ast.BitXor(), right=right):
            return any(is_set(scope, side, seen) or _is_view(side) for side in (left, right))
        case ast.IfExp(body=one, orelse=other):
            return is_set(scope, one, seen) or is_set(scope, other, seen)
        case ast.Call(func=ast.Attribute(value=base, attr=name)) if name in SETS_AGAIN:
            return is_set(scope, base, seen)
        case ast.Name(id=name) if scope.is_local(name) and name not in seen:
            bound = [one for one in scope.bindings(name) if isinstance(one, ast.expr)]
            if any(is_set(scope, one, seen | {name}) for one in bound):
                return True
    kinds = (type_of(value) for value in scope.values(node))
    return any(kind is not None and issubclass(kind, set | frozenset) for kind in kinds)


def _is_view(node: ast.expr) -> bool:
    """Whether an expression is a view of a dict, which `&`, `|` and `-` make a set of."""
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in ("keys", "items")


def _uses(node: ast.AST) -> Iterator[tuple[ast.expr, str]]:
    """What a node goes through, and how a message says it."""
    goes = "is a set, and is gone through in the order of its hashes"
    match node:
        case ast.For() | ast.AsyncFor():
            yield node.iter, goes
        case ast.ListComp() | ast.GeneratorExp() | ast.DictComp():
            yield from ((part.iter, goes) for part in node.generators)
        case ast.Starred() | ast.YieldFrom():
            yield node.value, goes
        case ast.FormattedValue():
            yield node.value, "is a set, and is written in the order of its hashes"
        case ast.Assign(targets=[ast.Tuple() | ast.List()]):
            yield node.value, "is a set, and is taken apart in the order of its hashes"
        case ast.Call(func=ast.Name(id=name)) if name in IN_ORDER:
            yield from ((argument, goes) for argument in node.args)
        case ast.Call(func=ast.Attribute(attr=name)) if name in IN_ORDER_METHODS:
            yield from ((argument, goes) for argument in node.args)
        case ast.Call(func=ast.Attribute(attr="pop"), args=[]):
            assert isinstance(node.func, ast.Attribute)
            yield node.func.value, "is a set, and gives whichever element it meets first"
        case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)) if name in BY_KEY and _has_key(node):
            yield from ((argument, "is a set: elements with the same key keep its order") for argument in node.args)


def _has_key(call: ast.Call) -> bool:
    return any(keyword.arg == "key" for keyword in call.keywords)


def _without_order(scope: Scope) -> set[ast.AST]:
    """The comprehensions that are given to a function for which their order does not matter: `any(... for x in s)`."""
    found: set[ast.AST] = set()
    for node in scope.nodes():
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in WITHOUT_ORDER:
            shadowed = scope.is_local(node.func.id) or not isinstance(scope.value(node.func), Known)
            if not shadowed and not _has_key(node):
                found.update(node.args)
    return found
