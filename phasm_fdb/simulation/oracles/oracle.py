"""What an oracle is: something that must hold, and says so when it does not."""

from __future__ import annotations

from typing import Any

from phasm_fdb.receipts import Applied
from phasm_fdb.simulation.world.commit import Commit
from phasm_fdb.simulation.world.inspector import Inspector
from phasm_fdb.simulation.world.process import Process


class Oracle:
    """Base of all oracles. Whatever they raise ends the run; an InvariantViolation's message begins with its name."""

    def __init__(self, inspector: Inspector) -> None:
        self.inspector = inspector

    def committed(self, commit: Commit) -> None:
        """A transaction was committed."""

    def now_and_then(self) -> None:
        """Look at everything; called at crashes, and some times in a run."""

    def called(self, process: Process, packed_id: bytes, idempotency_key: str) -> None:
        """A worker begins an outside call for an action."""

    def answered(self, request: Any, applied: Applied | None, refused: Exception | None) -> None:
        """A client has the outcome of its request."""

    def at_rest(self) -> None:
        """The faults have stopped, and nothing is pending any more."""
