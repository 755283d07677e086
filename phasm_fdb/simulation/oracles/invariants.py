"""The machine's own invariants, on the committed state: incrementally after every commit, and wholly now and then."""

from __future__ import annotations

from typing import Any

from phasm_fdb.errors import InvariantViolation
from phasm_fdb.simulation.commit import Commit
from phasm_fdb.simulation.oracles.oracle import Oracle
from phasm_fdb.state import Changes


class Invariants(Oracle):
    """`check_changes` for what a commit wrote, `check_invariants` on the whole."""

    def committed(self, commit: Commit) -> None:
        written = [*commit.of("s")]
        if not written and not commit.cleared:
            return
        inspector = self.inspector
        state = inspector.state("check_changes", commit.after)
        staged: Any = _Written(written, commit)
        changes = Changes(inspector.definition.state_class.fields, inspector.keyspace.state, staged)
        inputs = [run.input for run in commit.runs if run.error is None]
        try:
            inspector.definition.check_changes(state, changes, inputs[0] if len(inputs) == 1 else inputs)
        except InvariantViolation:
            # Say it in the words of the whole check if that finds it too: those are the ones that users know.
            inspector.check(commit.after)
            raise

    def now_and_then(self) -> None:
        self.inspector.check()

    def at_rest(self) -> None:
        self.inspector.check()


class _Written:
    """What a commit wrote, as `Changes` asks a staged view for it."""

    def __init__(self, written: list[bytes], commit: Commit) -> None:
        self._written = written
        self._commit = commit

    def written_keys(self) -> list[bytes]:
        """The keys that were written one by one."""
        return self._written

    def cleared_ranges(self) -> list[tuple[bytes, bytes]]:
        """The ranges that were cleared."""
        return self._commit.cleared
