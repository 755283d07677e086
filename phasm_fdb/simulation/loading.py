"""Finding a workload by its name, `MODULE:WORKLOAD`."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from phasm_fdb.simulation.workload import Workload


class WorkloadNotFound(ValueError):
    """There is no such workload; the message, one line, says what is missing."""


def load_workload(name: str) -> Callable[[], Workload]:
    """The class, or function, that makes the workload.

    Args:
        name: `MODULE:WORKLOAD`; the module may lie in the current folder.

    Raises:
        WorkloadNotFound: the name is not of that form, the module cannot be imported, or it has no such workload.
    """
    module_name, colon, attribute = name.partition(":")
    if not (module_name and colon and attribute):
        raise WorkloadNotFound(f"{name!r} is not MODULE:WORKLOAD, such as my_app.workload:MyWorkload")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        module = importlib.import_module(module_name)
    except Exception as error:
        raise WorkloadNotFound(f"cannot import {module_name}: {type(error).__name__}: {_one_line(error)}") from error
    found: Any = getattr(module, attribute, None)
    if not callable(found) or (isinstance(found, type) and not issubclass(found, Workload)):
        workloads = [
            name
            for name, value in vars(module).items()
            if isinstance(value, type) and issubclass(value, Workload) and value is not Workload
        ]
        has = f"it has {', '.join(workloads)}" if workloads else "it has none"
        raise WorkloadNotFound(f"{module_name} has no workload {attribute!r}; {has}")
    return found  # type: ignore[no-any-return]


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
