"""`phasm snapshot`: where a replay can begin."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from phasm_fdb.cli.invocation import one_line_errors, opened
from phasm_fdb.cli.loading import load_layer


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("snapshot")(command)


def command(
    layer: Annotated[str, typer.Argument(metavar="MODULE:APP", help="the layer; the module may lie in this folder")],
    database: Annotated[str, typer.Option(metavar="URL", help="the database")],
    file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="write it to this file, instead of into the database")
    ] = None,
    show: Annotated[bool, typer.Option("--list", help="show the snapshots in the database, and take none")] = False,
) -> None:
    """Copy the state at one version to where `phasm replay --from` can begin, and print the version, which names it."""
    with one_line_errors("phasm snapshot"):
        found = load_layer(layer)
        with opened(database) as db:
            if not show:
                typer.echo(found.snapshot(db, file))
                return
            for one in found.snapshots(db):
                typer.echo(f"{one.version}  {one.bytes:,} bytes")
