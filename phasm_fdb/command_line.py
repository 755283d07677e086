"""What the subcommands of `phasm` share: layers by their name, databases by their URL, and errors in one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer

from phasm_fdb.database.url import open as open_database
from phasm_fdb.errors import DamagedHistory, DatabaseError, PhasmError
from phasm_fdb.layer import Layer
from phasm_fdb.naming import import_named

SAME, DIFFERENT, USAGE = 0, 1, 2


class LayerNotFound(DatabaseError):
    """There is no such layer; the message, one line, says what is missing."""


def load_layer(name: str) -> Layer:
    """The layer of this name.

    Args:
        name: `MODULE:APP`, where APP is a `Layer` in the module, or an `App` that has one; the module may lie in the
            current folder.

    Raises:
        LayerNotFound: the name is not of that form, the module cannot be imported, or it has no such layer.
    """
    module, attribute = import_named(name, "APP", "my_app.main:wallets", LayerNotFound)
    found = getattr(module, attribute, None)
    found = getattr(found, "layer", found)  # of an App
    if not isinstance(found, Layer):
        layers = [name for name, value in vars(module).items() if isinstance(value, Layer)]
        has = f"it has {', '.join(layers)}" if layers else "it has none"
        raise LayerNotFound(f"{module.__name__} has no layer {attribute!r}; {has}")
    return found


@contextmanager
def opened(url: str) -> Iterator[Any]:
    """The database of a URL, closed afterwards where that is needed."""
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
        typer.echo(f"phasm {command}: error: {error}", err=True)
        raise typer.Exit(DIFFERENT if isinstance(error, DamagedHistory) else USAGE) from None
