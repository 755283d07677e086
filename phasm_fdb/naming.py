"""Loading what `MODULE:NAME` names: the one way from a command line to the code of a project."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from phasm_fdb.errors import PhasmError


class NameNotFound(PhasmError, ValueError):
    """Nothing of the kind has this name; the message, one line, says what is missing."""


@dataclass(frozen=True)
class Loadable:
    """One kind of thing that a command line may name.

    Attributes:
        what: how messages call it: "layer".
        example: such a name.
        is_one: whether a value in a module is one: these are listed where none has the name.
        may_be: whether a value that somebody named will do as one; `is_one` unless given.
    """

    what: str
    example: str
    is_one: Callable[[Any], bool]
    may_be: Callable[[Any], bool] | None = None

    def load(self, name: str) -> tuple[ModuleType, Any]:
        """Import the module of a name, and find what is named in it.

        Args:
            name: `MODULE:NAME`; the module may lie in the current folder.

        Raises:
            NameNotFound: the name is not of that form, the module cannot be imported, or it has no such thing.
        """
        module_name, colon, attribute = name.partition(":")
        if not (module_name and colon and attribute):
            raise NameNotFound(f"{name!r} is not MODULE:{self.what.split()[0].upper()}, such as {self.example}")
        module = import_module(module_name)
        found = getattr(module, attribute, None)
        if not (self.may_be or self.is_one)(found):
            there = [name for name, value in vars(module).items() if self.is_one(value)]
            has = f"it has {', '.join(there)}" if there else "it has none"
            raise NameNotFound(f"{module_name} has no {self.what} {attribute!r}; {has}")
        return module, found


def import_module(name: str) -> ModuleType:
    """Import a module, which may lie in the current folder.

    The folder is looked in last: a file in it never takes the place of a module of Python or of an installed package.

    Raises:
        NameNotFound: it cannot be imported.
    """
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit) as problem:
        text = " ".join(str(problem).split())
        raise NameNotFound(f"cannot import {name}: {type(problem).__name__}: {text}") from problem
