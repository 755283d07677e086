"""Loading a workload by its name, `MODULE:WORKLOAD`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from phasm_fdb.naming import Kind
from phasm_fdb.simulation.workload import Workload


def _is_workload(value: Any) -> bool:
    return isinstance(value, type) and issubclass(value, Workload) and value is not Workload


def _makes_a_workload(value: Any) -> bool:
    """Whether it is a workload's class, or a function, which may return one."""
    return _is_workload(value) or (callable(value) and not isinstance(value, type))


WORKLOAD = Kind("workload", "my_app.workload:MyWorkload", _is_workload, _makes_a_workload)


def load_workload(name: str) -> Callable[[], Workload]:
    """Load the class, or function, that makes the workload.

    Args:
        name: `MODULE:WORKLOAD`; the module may lie in the current folder.

    Raises:
        NameNotFound: there is none.
    """
    _, found = WORKLOAD.load(name)
    return found  # type: ignore[no-any-return]
