"""`phasm simulate MODULE:WORKLOAD`: run a machine from seeds, under faults. Its options are the simulator's own."""

from __future__ import annotations

import typer

from phasm_fdb.simulation.command import main

#: The simulator reads its own arguments, so that `scripts/simulate.py` has the same ones and needs no packages.
_ITS_OWN = {"allow_extra_args": True, "ignore_unknown_options": True}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("simulate", context_settings=_ITS_OWN, add_help_option=False)(simulate)


def simulate(context: typer.Context) -> None:
    """Simulate a machine: workers, clients, database and outside world on virtual time, with faults.

    Exit status: 0 everything held, 1 something was violated, 2 wrong usage. See `phasm simulate --help`.
    """
    raise typer.Exit(main(context.args, "phasm simulate"))
