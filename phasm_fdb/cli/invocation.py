"""What all commands of `phasm` do alike: open their database, and say in one line what is wrong."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import typer

from phasm_fdb.database.url import open as open_database
from phasm_fdb.errors import DamagedHistory, PhasmError

SAME, DIFFERENT, USAGE = 0, 1, 2
INTERRUPTED = 130


def run(app: typer.Typer, arguments: Sequence[str], program: str) -> int:
    """Run a command, and print what is wrong with its arguments as one line.

    Args:
        program: how the user called it.

    Returns:
        The exit status: the command's own, 2 if the arguments are wrong, 130 after Ctrl-C.
    """
    command = typer.main.get_command(app)
    try:
        status = command.main(list(arguments), prog_name=program, standalone_mode=False)
    except typer.TyperException as error:
        context = getattr(error, "ctx", None)
        name = program if context is None else context.command_path
        message = " ".join(error.format_message().split()).rstrip(".")
        if message:  # none where the help was shown instead
            typer.echo(f"{name}: error: {message} (see {name} --help)", err=True)
        return USAGE
    except typer.Abort:
        return INTERRUPTED
    return status if isinstance(status, int) else SAME


@contextmanager
def opened(url: str) -> Iterator[Any]:
    """Open the database of a URL, and close it afterwards where that is needed."""
    db = open_database(url)
    try:
        yield db
    finally:
        if hasattr(db, "close"):
            db.close()


@contextmanager
def one_line_errors(command: str) -> Iterator[None]:
    """Print what goes wrong as one line, and end with the exit status for it."""
    try:
        yield
    except PhasmError as error:
        typer.echo(f"{command}: error: {error}", err=True)
        raise typer.Exit(DIFFERENT if isinstance(error, DamagedHistory) else USAGE) from None
