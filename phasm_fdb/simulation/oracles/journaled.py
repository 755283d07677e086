"""The journal replays to the same: every input decides again what it decided, and comes to the stored state."""

from __future__ import annotations

from phasm_fdb.errors import InvariantViolation
from phasm_fdb.simulation.oracles.oracle import Oracle


class Journaled(Oracle):
    """Replays the journal, in the runs that have one."""

    def at_rest(self) -> None:
        report = self.inspector.layer.replay(self.inspector.database())
        if not report.same:
            raise InvariantViolation(f"the journal replays to the same: {report.differences[0]}")
