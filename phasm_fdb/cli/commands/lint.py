"""`phasm lint MODULE[:MACHINE]`: what in a machine's code its state and input do not decide."""

from __future__ import annotations

from typing import Annotated

import typer

from phasm_fdb.cli.invocation import one_line_errors
from phasm_fdb.lint import Finding, check_machine, load_machines

CLEAN, FOUND = 0, 1


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("lint")(lint)


def lint(
    targets: Annotated[
        list[str], typer.Argument(metavar="MODULE[:MACHINE]...", help="what to read; all machines of a module, or one")
    ],
) -> None:
    """Find clocks, chance, files, varying orders, shared state and the like in what a machine's code reaches.

    Exit status: 0 nothing found, 1 something found, 2 there is no such machine. A comment on the line,
    `# phasm: allow RULE`, says that a finding is meant.
    """
    with one_line_errors("phasm lint"):
        findings = sorted({finding for target in targets for finding in _findings(target)})
    for finding in findings:
        print(finding)
    print(f"{len(findings)} found" if findings else "nothing found")
    raise typer.Exit(FOUND if findings else CLEAN)


def _findings(target: str) -> list[Finding]:
    return [finding for machine in load_machines(target) for finding in check_machine(machine)]
