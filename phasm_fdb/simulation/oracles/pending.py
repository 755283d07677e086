"""No action is lost: each is stored when it is emitted, and ends completed, cancelled, or among the dead letters."""

from __future__ import annotations

from typing import Any

from phasm_fdb.actions import Later, Tracked
from phasm_fdb.errors import InvariantViolation
from phasm_fdb.keys import is_incomplete, pack_element, unpack
from phasm_fdb.machine import TrackedActionCompleted
from phasm_fdb.simulation.oracles.oracle import Oracle
from phasm_fdb.simulation.trace import DATABASE, Trace
from phasm_fdb.simulation.world.commit import Commit, StfRun
from phasm_fdb.simulation.world.inspector import Inspector


class Pending(Oracle):
    """Follows every id from where it is emitted to where it ends.

    Attributes:
        ids: the packed ids that are pending.
    """

    def __init__(self, inspector: Inspector, trace: Trace) -> None:
        super().__init__(inspector)
        self._trace = trace
        self._prefix = len(inspector.keyspace.id_row(b""))
        self.ids: set[bytes] = set()
        self._inputs: set[bytes] = set()  # those that are inputs for later, which end by being delivered

    def committed(self, commit: Commit) -> None:
        rows = commit.of("i")
        if not rows and not commit.runs:
            return
        completed, cancelled, emitted = self._said(commit)
        buried = _buried(commit)
        for packed in completed:
            if packed not in self.ids and packed not in emitted:
                raise InvariantViolation(f"exactly once: a result was applied for {_id(packed)}, which was not pending")
        for row, place in rows.items():
            packed = row[self._prefix :]
            if place is None:
                self._ended(commit, packed, completed, cancelled, buried)
            else:
                if commit.runs and packed not in self.ids and packed not in emitted:
                    raise InvariantViolation(f"stored before emitted: {_id(packed)} is pending, and nothing emitted it")
                self.ids.add(packed)
        for packed in completed | emitted:
            row = self.inspector.keyspace.id_row(packed)
            is_stored = commit.after.get(row) is not None
            if is_stored and packed not in emitted:
                raise InvariantViolation(f"exactly once: {_id(packed)} was completed, and is pending still")
            if not is_stored and packed in emitted and packed not in cancelled | completed:
                raise InvariantViolation(f"stored before emitted: {_id(packed)} was emitted, and is not pending")

    def _said(self, commit: Commit) -> tuple[set[bytes], set[bytes], set[bytes]]:
        """The ids that a commit's inputs completed, cancelled and emitted."""
        completed: set[bytes] = set()
        cancelled: set[bytes] = set()
        emitted: set[bytes] = set()
        for run in commit.runs:
            if run.error is not None:
                continue
            if isinstance(run.input, TrackedActionCompleted):
                completed.add(pack_element(run.input.id))
                self._tell_completion(commit, run.input)
            self._note_actions(run, commit.stamp, cancelled, emitted)
        return completed, cancelled, emitted

    def _note_actions(self, run: StfRun, stamp: bytes, cancelled: set[bytes], emitted: set[bytes]) -> None:
        assert run.actions is not None
        cancelled.update(pack_element(_complete(id, stamp)) for id in run.actions.cancelled)
        stored: tuple[Tracked[Any] | Later[Any], ...] = (*run.actions.tracked, *run.actions.delayed)
        for action in stored:
            packed = pack_element(_complete(action.id, stamp))
            emitted.add(packed)
            if isinstance(action, Later):
                self._inputs.add(packed)
            else:
                self._inputs.discard(packed)

    def _ended(
        self, commit: Commit, packed: bytes, completed: set[bytes], cancelled: set[bytes], buried: set[bytes]
    ) -> None:
        if packed not in self.ids:
            return
        self.ids.discard(packed)
        if packed in completed:
            how = "completed"
        elif packed in cancelled:
            how = "cancelled"
        elif packed in buried:
            how = "dead letter"
        elif packed in self._inputs:
            how = "delivered"
        else:
            raise InvariantViolation(
                f"no action lost: {_id(packed)} is not pending any more after a commit of {commit.by}, and was neither "
                "completed nor cancelled, and is not among the dead letters"
            )
        if self._trace.events is not None:
            self._trace.event(DATABASE, "ended", f"{_id(packed)} is {how}", commit.event, id=_id(packed), how=how)

    def _tell_completion(self, commit: Commit, input: TrackedActionCompleted[Any]) -> None:
        if self._trace.events is not None:
            text = f"{input.id!r} gave {input.result!r}"
            self._trace.event(DATABASE, "completion", text, commit.event, id=input.id, result=input.result)

    def at_rest(self) -> None:
        if self.ids:
            left = [_id(packed) for packed in sorted(self.ids)]
            raise InvariantViolation(f"no action lost: at rest {left[:5]} are pending still, and have no row to run")


def _complete(id: Any, stamp: bytes) -> Any:
    """An id from `new_id()` with the commit's versionstamp."""
    return id.completed(stamp) if is_incomplete(id) else id


def _id(packed: bytes) -> Any:
    return unpack(packed)[0]


def _buried(commit: Commit) -> set[bytes]:
    """The ids of the dead letters that a commit wrote."""
    records = [letter.record for letter in commit.dead_letters().values()]
    return {record.packed_id for record in records if not record.is_input and record.packed_id is not None}
