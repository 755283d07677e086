"""`phasm replay`: decide the recorded inputs again, and compare."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from phasm_fdb.cli.invocation import DIFFERENT, SAME, USAGE, one_line_errors, opened
from phasm_fdb.cli.loading import load_layer
from phasm_fdb.journal.history import history_of
from phasm_fdb.replay import Report, replay


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("replay")(command)


def command(
    layer: Annotated[str, typer.Argument(metavar="MODULE:APP", help="the layer; the module may lie in this folder")],
    database: Annotated[str, typer.Option(metavar="URL", help="the database whose journal is replayed")] = "",
    file: Annotated[Path | None, typer.Option(metavar="FILE", help="an exported history, instead")] = None,
    since: Annotated[
        str | None,
        typer.Option("--from", metavar="SNAPSHOT", help="begin at this snapshot: its version, 'latest', or its file"),
    ] = None,
    new: Annotated[
        str | None,
        typer.Option("--with", metavar="MODULE:APP", help="new code: would it have decided the same?"),
    ] = None,
) -> None:
    """Replay the journal in memory: every input again, its effects compared, and the state at the end.

    Exit status: 0 the same, 1 different or damaged, 2 wrong usage.
    """
    if bool(database) == (file is not None) or (file is not None and since is not None):
        typer.echo("phasm replay: error: give --database URL (with or without --from), or --file FILE", err=True)
        raise typer.Exit(USAGE)
    with one_line_errors("phasm replay"):
        old = load_layer(layer)
        other = None if new is None else load_layer(new)
        if file is not None:
            report = replay(old.context, history_of(file), None if other is None else other.context)
        else:
            with opened(database) as db:
                report = old.replay(db, since, other)
    _print(report, new)
    raise typer.Exit(SAME if report.same else DIFFERENT)


def _print(report: Report, new: str | None) -> None:
    for difference in report.differences:
        typer.echo(str(difference))
    if report.count > len(report.differences):
        typer.echo(f"and {report.count - len(report.differences):,} more")
    what = f"{new} would have decided" if new is not None else "the replay came to"
    verdict = f"{what} the same" if report.same else f"{report.count:,} differences"
    typer.echo(f"{report.applied:,} inputs applied, {report.refused:,} refused: {verdict}")
