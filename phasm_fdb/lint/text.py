"""Source files: their syntax trees, the lines that allow a rule, and the text of a function."""

from __future__ import annotations

import ast
import functools
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FunctionType

from phasm_fdb.lint.finding import LintError

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda

_ALLOW = re.compile(r"#\s*phasm:\s*allow\b\s*(?P<rules>[\w\s,-]*)")


class Text:
    """A parsed source file.

    Attributes:
        path: the file.
        tree: its syntax tree.
        allowed: by line, the rules that a comment there allows.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        try:
            source = Path(path).read_text(encoding="utf-8")
            self.tree: ast.Module = _Spelled().visit(ast.parse(source, path))
        except (OSError, ValueError, SyntaxError) as error:
            raise LintError(f"{path} cannot be read as Python: {' '.join(str(error).split())}") from error
        self.allowed = dict(_allowed(source))
        self._functions = [node for node in ast.walk(self.tree) if isinstance(node, FunctionNode)]

    def function(self, code: CodeType) -> FunctionNode:
        """The node that a code object was compiled from; raises a LintError if it is not there."""
        if code.co_name == "<lambda>":
            return self._lambda(code)
        for node in self._functions:
            if (
                not isinstance(node, ast.Lambda)
                and node.name == code.co_name
                and _first_line(node) == code.co_firstlineno
            ):
                return node
        raise LintError(f"{self.path}:{code.co_firstlineno} has no function {code.co_name}: was the file changed?")

    def class_(self, qualname: str) -> ast.ClassDef | None:
        """The class of a name such as "Outer.Inner", or None if it is not written here."""
        body: list[ast.stmt] = self.tree.body
        found = None
        for name in qualname.split("."):
            found = next((node for node in body if isinstance(node, ast.ClassDef) and node.name == name), None)
            if found is None:
                return None
            body = found.body
        return found

    def _lambda(self, code: CodeType) -> ast.Lambda:
        """Several lambdas may begin on one line: the right one spans the place of every instruction."""
        places = [(line, column) for line, _, column, _ in code.co_positions() if line and column]
        for node in self._functions:
            if isinstance(node, ast.Lambda) and node.lineno == code.co_firstlineno:
                begin, end = (node.lineno, node.col_offset), (node.end_lineno or 0, node.end_col_offset or 0)
                if all(begin <= place <= end for place in places):
                    return node
        raise LintError(f"{self.path}:{code.co_firstlineno} has no such lambda: was the file changed?")


class _Spelled(ast.NodeTransformer):
    """Writes `getattr(time, "time")` as the `time.time` that it is, so that it is followed as that."""

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        match node:
            case ast.Call(func=ast.Name(id="getattr"), args=[owner, ast.Constant(value=str(name)), *_]):
                return ast.copy_location(ast.Attribute(owner, name, ast.Load()), node)
        return node


@functools.cache
def text_of(path: str) -> Text:
    """A file, read once."""
    return Text(path)


def node_of(function: FunctionType) -> tuple[Text, FunctionNode]:
    """The text of a function; raises a LintError if there is none."""
    text = text_of(function.__code__.co_filename)
    return text, text.function(function.__code__)


def _first_line(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    return min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])


def _allowed(source: str) -> Iterator[tuple[int, frozenset[str]]]:
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            found = _ALLOW.match(token.string)
            if found:
                rules = found["rules"].replace(",", " ").split()
                yield token.start[0], frozenset(rules)
