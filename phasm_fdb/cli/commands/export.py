"""`phasm export`: a history in a file, to be replayed without its database."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from phasm_fdb.cli.invocation import one_line_errors, opened
from phasm_fdb.cli.loading import load_layer


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("export")(command)


def command(
    layer: Annotated[str, typer.Argument(metavar="MODULE:APP", help="the layer; the module may lie in this folder")],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="the file to write")],
    database: Annotated[str, typer.Option(metavar="URL", help="the database whose journal is exported")],
    since: Annotated[
        str | None,
        typer.Option("--from", metavar="SNAPSHOT", help="begin at this snapshot: its version, 'latest', or its file"),
    ] = None,
) -> None:
    """Write the journal, and the states that it lies between, to a file for `phasm replay --file`."""
    with one_line_errors("phasm export"):
        found = load_layer(layer)
        with opened(database) as db:
            found.export(db, file, since)
