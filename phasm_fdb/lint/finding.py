"""What `phasm lint` has found."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from pathlib import Path

from phasm_fdb.errors import PhasmError
from phasm_fdb.lint.rules import RULES


class LintError(PhasmError, ValueError):
    """There is nothing to look at: code without its text. The message is one line."""


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One place where a machine may depend on more than its state and its input.

    Attributes:
        path: the file.
        line, column: where in it, both from 1.
        rule: the rule's name, as `# phasm: allow` takes it.
        found: what is there, in a few words.
        instead: what to do.
        via: the functions by which the machine gets there, from its own one to the one that the line is in.
    """

    path: str
    line: int
    column: int
    rule: str
    found: str
    instead: str = field(compare=False)
    via: tuple[str, ...] = field(default=(), compare=False)

    def __str__(self) -> str:
        reached = f" ({' -> '.join(self.via)})" if self.via else ""
        return f"{shown(self.path)}:{self.line}:{self.column}: {self.rule}: {self.found}: {self.instead}{reached}"


def finding_at(path: str, node: ast.expr | ast.stmt, rule: str, found: str, via: tuple[str, ...] = ()) -> Finding:
    """A finding at a node of a file."""
    return Finding(path, node.lineno, node.col_offset + 1, rule, found, RULES[rule], via)


def shown(path: str) -> str:
    """A path as people like to read it: from the current folder on, where it lies below that."""
    try:
        return str(Path(path).relative_to(Path.cwd()))
    except ValueError:
        return path
