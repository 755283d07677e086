"""Importing what `MODULE:NAME` names: the one way from a command line to the code of a project."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType


def import_named(name: str, what: str, example: str, error: type[Exception]) -> tuple[ModuleType, str]:
    """Import the module of a name, and say which of its attributes is meant.

    Args:
        name: `MODULE:ATTRIBUTE`; the module may lie in the current folder.
        what: how messages name the attribute: "APP".
        example: such a name.
        error: what to raise; it takes the message, one line.
    """
    module, colon, attribute = name.partition(":")
    if not (module and colon and attribute):
        raise error(f"{name!r} is not MODULE:{what}, such as {example}")
    return import_module(module, error), attribute


def import_module(name: str, error: type[Exception]) -> ModuleType:
    """Import a module, which may lie in the current folder.

    The folder is looked in last: a file in it never takes the place of a module of Python or of an installed package.

    Args:
        error: what to raise if it cannot be imported; it takes the message, one line.
    """
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit) as problem:
        text = " ".join(str(problem).split())
        raise error(f"cannot import {name}: {type(problem).__name__}: {text}") from problem
