"""The workload is told of everything that was applied, in the order of commits, and may keep a model of it."""

from __future__ import annotations

from phasm_fdb.simulation.commit import Commit
from phasm_fdb.simulation.guarding import guarded
from phasm_fdb.simulation.inspector import Inspector
from phasm_fdb.simulation.oracles.oracle import Oracle
from phasm_fdb.simulation.workload import Workload


class Told(Oracle):
    """Calls the workload's `committed`, where it has one."""

    def __init__(self, inspector: Inspector, workload: Workload) -> None:
        super().__init__(inspector)
        self._workload = workload
        self._is_wanted = type(workload).committed is not Workload.committed

    def committed(self, commit: Commit) -> None:
        if not self._is_wanted:
            return
        for run in commit.runs:
            if run.error is None:
                assert run.actions is not None
                guarded("committed", self._workload.committed, run.input, run.reply, run.actions)
