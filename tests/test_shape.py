"""How long functions may be, and how much they may be handed: a reader is to see a whole one at once."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "phasm_fdb"

#: Where the core lies.
CORE = ("", "fields", "journal", "runtime", "transition")

MOST_PARAMETERS = 5
MOST_LINES = 60

#: Who may have more parameters, and why.
WITH_MORE = {
    "layer.py: Layer.__init__": "options that applications give by name",
    "runtime/worker.py: Worker.__init__": "options that applications give by name",
    "runtime/attempt.py: Attempt.__init__": "what handlers are told, which tests of handlers make themselves",
}

Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions(tree: ast.AST, owner: str = "") -> Iterator[tuple[str, Function]]:
    """All functions under a node, by their qualified names."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, Function):
            yield owner + node.name, node
            yield from functions(node, f"{owner}{node.name}.")
        elif isinstance(node, ast.ClassDef):
            yield from functions(node, f"{owner}{node.name}.")
        else:
            yield from functions(node, owner)


def parameters(function: Function) -> int:
    """How many parameters a function has, beside `self` and `cls`."""
    given = function.args
    names = [one.arg for one in (*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg) if one]
    return len(names) - (names[:1] in (["self"], ["cls"]))


@pytest.mark.parametrize("place", CORE)
def test_functions_of_the_core_fit_a_screen_and_take_few_parameters(place: str) -> None:
    folder = PACKAGE / place
    for path in sorted(folder.rglob("*.py") if place else folder.glob("*.py")):
        for name, function in functions(ast.parse(path.read_text())):
            full = f"{path.relative_to(PACKAGE)}: {name}"
            if full in WITH_MORE:
                assert parameters(function) > MOST_PARAMETERS, f"{full} needs no exception any more"
            else:
                assert parameters(function) <= MOST_PARAMETERS, f"{full} takes {parameters(function)} parameters"
            assert function.end_lineno is not None
            lines = function.end_lineno - function.lineno + 1
            assert lines <= MOST_LINES, f"{full} has {lines} lines"
