"""The journal replays to the same: every input decides again what it decided, and comes to the stored state."""

from __future__ import annotations

from phasm_fdb.errors import InvariantViolation
from phasm_fdb.simulation.commit import Commit
from phasm_fdb.simulation.inspector import Inspector
from phasm_fdb.simulation.oracles.oracle import Oracle


class Journaled(Oracle):
    """Replays the journal, in the runs that have one. An empty journal is right only where nothing was decided."""

    def __init__(self, inspector: Inspector) -> None:
        super().__init__(inspector)
        self._anything_decided = False

    def committed(self, commit: Commit) -> None:
        if commit.runs:
            self._anything_decided = True

    def at_rest(self) -> None:
        if not self._anything_decided:
            return
        report = self.inspector.layer.replay(self.inspector.database())
        if not report.same:
            raise InvariantViolation(f"the journal replays to the same: {report.differences[0]}")
