"""`phasm new`: the skeleton of a machine, with tests that pass."""

from __future__ import annotations

import importlib.util
import keyword
import re
from importlib import resources
from pathlib import Path
from string import Template
from typing import Annotated

import typer

from phasm_fdb.cli.invocation import one_line_errors
from phasm_fdb.errors import PhasmError

NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
SUFFIX = ".txt"


class CannotMake(PhasmError):
    """The skeleton cannot be made; the message, one line, says why."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("new")(command)


def command(
    name: Annotated[str, typer.Argument(metavar="NAME", help="of the Python package, such as ticket_shop")],
) -> None:
    """Make a folder with a machine, its handlers, a workload, an app, a README, and tests that pass.

    Exit status: 0 made, 2 the name is no good, or something of that name is there.
    """
    with one_line_errors("phasm new"):
        folder = make(name, Path.cwd())
    typer.echo(f"made {folder.name}/; try it: python -m pytest {folder.name}")


def make(name: str, where: Path) -> Path:
    """Write the skeleton into a new folder.

    Raises:
        CannotMake: the name is not one for a package, or is taken.
    """
    _refuse(name, where)
    words = name.split("_")
    values = {
        "name": name,
        "machine": "".join(word.capitalize() for word in words),
        "title": " ".join(words).capitalize(),
    }
    folder = where / name
    try:
        folder.mkdir()
    except OSError as error:
        raise CannotMake(f"{folder} cannot be made: {error.strerror}") from error
    for template in resources.files("phasm_fdb.cli").joinpath("templates").iterdir():
        text = Template(template.read_text("utf-8")).substitute(values)
        (folder / template.name.removesuffix(SUFFIX)).write_text(text, "utf-8")
    return folder


def _refuse(name: str, where: Path) -> None:
    if not NAME.fullmatch(name) or keyword.iskeyword(name):
        raise CannotMake(f"{name!r} is no name for a package: use small letters, digits and _, as in ticket_shop")
    if (where / name).exists():
        raise CannotMake(f"{name} is there already, and nothing was changed")
    if importlib.util.find_spec(name) is not None:
        raise CannotMake(f"there is a package {name} already, which would be hidden: choose another name")
