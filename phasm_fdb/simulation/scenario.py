"""A workload with a short name, and what its runs are like where nobody says otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from phasm_fdb.simulation.settings import DEFAULT_OPS


@dataclass(frozen=True, slots=True)
class Scenario:
    """What a name on the command line of the simulator stands for.

    Attributes:
        workload: its name, `MODULE:WORKLOAD`.
        ops: operations of each run.
        workers: how many; None for as the seed says.
        faults: "none", "default", "heavy", or the probability of each kind.
    """

    workload: str
    ops: int = DEFAULT_OPS
    workers: int | None = None
    faults: str | Mapping[str, float] = "default"
