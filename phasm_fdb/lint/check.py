"""Looking at a machine: what it reaches, every check on all of it, without what a comment allows."""

from __future__ import annotations

from collections.abc import Iterator

from phasm_fdb.lint.checks.doors import check_doors
from phasm_fdb.lint.checks.identity import check_identity
from phasm_fdb.lint.checks.money import check_declarations, check_floats
from phasm_fdb.lint.checks.orders import check_orders
from phasm_fdb.lint.checks.shared import check_shared
from phasm_fdb.lint.finding import Finding
from phasm_fdb.lint.reach import Reach
from phasm_fdb.lint.rules import ALLOW, RULES
from phasm_fdb.lint.text import text_of
from phasm_fdb.machine import StateMachine


def check_machine(machine: StateMachine | type[StateMachine]) -> list[Finding]:
    """Everything in a machine that may make it depend on more than its state and its input.

    Args:
        machine: a machine; its class says the same, except of what `__init__` keeps in attributes.

    Returns:
        The findings in the order of files and lines, without those that a comment on their line allows.

    Raises:
        LintError: the machine's own code cannot be read.
    """
    reach = Reach(machine)
    findings = sorted(set(_all(reach)))
    unknown = {finding for scope in reach.scopes for finding in _unknown_rules(scope.text.path)}
    return sorted([*(finding for finding in findings if not _is_allowed(finding)), *unknown])


def _all(reach: Reach) -> Iterator[Finding]:
    yield from check_declarations(reach)
    for scope in reach.scopes:
        yield from check_doors(scope)
        yield from check_identity(scope)
        yield from check_orders(scope)
        yield from check_shared(scope, reach.machine)
        yield from check_floats(scope)


def _is_allowed(finding: Finding) -> bool:
    return finding.rule in text_of(finding.path).allowed.get(finding.line, ())


def _unknown_rules(path: str) -> Iterator[Finding]:
    """A comment that allows what is no rule allows nothing, which its writer should know."""
    for line, rules in text_of(path).allowed.items():
        for rule in sorted(rules - set(RULES)):
            yield Finding(path, line, 1, ALLOW, f"{rule!r} is no rule", RULES[ALLOW])
        if not rules:
            yield Finding(path, line, 1, ALLOW, "the comment names no rule", RULES[ALLOW])
