"""Finding a workload by its name, `MODULE:WORKLOAD`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from phasm_fdb.naming import import_named
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
    module, attribute = import_named(name, "WORKLOAD", "my_app.workload:MyWorkload", WorkloadNotFound)
    found: Any = getattr(module, attribute, None)
    if not callable(found) or (isinstance(found, type) and not issubclass(found, Workload)):
        workloads = [
            name
            for name, value in vars(module).items()
            if isinstance(value, type) and issubclass(value, Workload) and value is not Workload
        ]
        has = f"it has {', '.join(workloads)}" if workloads else "it has none"
        raise WorkloadNotFound(f"{module.__name__} has no workload {attribute!r}; {has}")
    return found  # type: ignore[no-any-return]
