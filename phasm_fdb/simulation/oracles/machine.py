"""What the machine and its workload say of themselves: invariants, what `restore` names, and a model of the machine."""

from __future__ import annotations

from typing import Any

from phasm_fdb.errors import InvariantViolation
from phasm_fdb.keys import pack_element, unpack
from phasm_fdb.machine import StateMachine
from phasm_fdb.simulation.oracles.oracle import Oracle
from phasm_fdb.simulation.workload import Workload
from phasm_fdb.simulation.world.commit import Commit
from phasm_fdb.simulation.world.guarding import guarded
from phasm_fdb.simulation.world.inspector import Inspector
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


class Restoring(Oracle):
    """Compares what `restore` names with what is pending.

    An id that `restore` leaves out runs as it was, so a machine may well name some only; a workload says so with
    `restores_all = False`. An id that is not pending is wrong in any case: it would be done once more.
    """

    def __init__(self, inspector: Inspector, restores_all: bool) -> None:
        super().__init__(inspector)
        machine = type(inspector.definition.machine)
        self._is_default = machine.restore is StateMachine.restore
        self._restores_all = restores_all

    def now_and_then(self) -> None:
        if self._is_default:
            return
        snapshot = self.inspector.snapshot()
        named = set(self.inspector.restored(snapshot))
        pending = {pack_element(action.id) for action in self.inspector.pending(snapshot)}
        unknown = sorted(named - pending)
        if unknown:
            raise InvariantViolation(
                f"restore names what is pending: it names {_ids(unknown)}, which are not pending: they were not stored "
                "when they were emitted, or have been completed"
            )
        left_out = sorted(pending - named)
        if left_out and self._restores_all:
            raise InvariantViolation(
                f"restore names what is pending: it leaves out {_ids(left_out)}; "
                "if that is meant, say `restores_all = False` on the workload"
            )

    def at_rest(self) -> None:
        self.now_and_then()


def _ids(packed: list[bytes]) -> list[object]:
    return [unpack(one)[0] for one in packed[:5]]


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
