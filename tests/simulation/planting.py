"""The planted faults by name, and how to have one."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from phasm_fdb.simulation import Workload

FOLDER = Path(__file__).parent / "planted"
NAMES = sorted(path.stem for path in FOLDER.glob("[a-z]*.py"))


@dataclass(frozen=True)
class Plant:
    """A planted fault.

    Attributes:
        title: what is wrong, in a sentence.
        workload: makes the workload that runs into it.
        planted: a context in which the package has the fault, where it is one of the package's.
        expected: how what the simulator says about it begins.
    """

    name: str
    title: str
    workload: Callable[[], Workload]
    planted: Callable[[], AbstractContextManager[None]]
    expected: str | tuple[str, ...]


def plant(name: str) -> Plant:
    """The planted fault of this name."""
    module = importlib.import_module(f"tests.simulation.planted.{name}")
    title = str(module.__doc__).strip().splitlines()[0]
    planted = getattr(module, "planted", contextlib.nullcontext)
    return Plant(name, title, module.Planted, planted, module.EXPECTED)


def timeless() -> float:
    """A clock that stands still: how far shrinking comes does not depend on how fast the machine is."""
    return 0.0
