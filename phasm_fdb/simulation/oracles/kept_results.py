"""A result is kept: where the machine fails on it, the outside call is not made again."""

from __future__ import annotations

from typing import Any

from fdb.tuple import Versionstamp

from phasm_fdb.database.staged import Staged
from phasm_fdb.errors import InvariantViolation
from phasm_fdb.keys import pack_element
from phasm_fdb.keyspace import STAMP_BYTES
from phasm_fdb.machine import TrackedActionCompleted
from phasm_fdb.outbox import IdRow
from phasm_fdb.records import Progress
from phasm_fdb.simulation.oracles.oracle import Oracle
from phasm_fdb.simulation.world.commit import Commit, SnapshotReader
from phasm_fdb.simulation.world.inspector import Inspector


class KeptResults(Oracle):
    """Follows the actions on whose results the machine has failed, by the versionstamps at which they were emitted."""

    def __init__(self, inspector: Inspector) -> None:
        super().__init__(inspector)
        self._known: set[bytes] = set()

    def committed(self, commit: Commit) -> None:
        if self._known:
            self._require_no_call(commit)
            self._require_in_dead_letters(commit)
        for run in commit.failed:
            if isinstance(run.input, TrackedActionCompleted):
                self._known |= self._emitted_at(commit, run.input.id)

    def _require_no_call(self, commit: Commit) -> None:
        """Nobody notes that such an action is started."""
        for row, value in commit.of("n").items():
            if value is None:
                continue
            progress = Progress.decode(value, row)
            if progress.running and (progress.origin or row[-STAMP_BYTES - 2 :]) in self._known:
                raise InvariantViolation(
                    f"results are kept: {commit.by} starts attempt {progress.attempts} at a call whose result is known"
                )

    def _require_in_dead_letters(self, commit: Commit) -> None:
        """The dead letter of such an action holds the result."""
        reader = Staged(SnapshotReader(commit.after))
        for row, letter in commit.dead_letters().items():
            if letter.record.is_input or letter.failure not in self._known:
                continue
            if not letter.read_failure(self.inspector.keyspace, reader).result:
                raise InvariantViolation(
                    f"results are kept: the dead letter {row!r} of {letter.record.packed_id!r} is without its result"
                )

    def _emitted_at(self, commit: Commit, id: Any) -> set[bytes]:
        """When the pending action of this id was emitted, before the commit; nothing where it is not in a lane."""
        keys, before = self.inspector.keyspace, commit.before
        packed = pack_element(id)
        place, location = before.get(keys.id_row(packed)), before.get(keys.location_row(packed))
        if place is None:
            return set()
        row = IdRow.decode(place)
        if row.kept is not None:
            return {row.kept}
        if row.due is not None or (location is None and not row.minted):
            return set()
        stamp = id if location is None else Versionstamp(location[:STAMP_BYTES], row.number)
        progress = before.get(keys.progress_row(row.lane, stamp))
        origin = b"" if progress is None else Progress.decode(progress).origin
        return {origin or stamp.tr_version + stamp.user_version.to_bytes(2, "big")}
