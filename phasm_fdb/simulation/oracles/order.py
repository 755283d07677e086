"""Order: of the actions with one ordering key, none is run while an earlier one is pending; so it is with inputs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from fdb.tuple import Versionstamp

from phasm_fdb.embedded.store import Snapshot
from phasm_fdb.errors import InvariantViolation
from phasm_fdb.inbox import Inbox, Queued
from phasm_fdb.keys import unpack
from phasm_fdb.keyspace import STAMP_BYTES, stamp_of
from phasm_fdb.machine import Normal
from phasm_fdb.outbox import IdRow
from phasm_fdb.records import Progress, Record
from phasm_fdb.runtime.attempt import idempotency_key as idempotency_key_of
from phasm_fdb.simulation.oracles.oracle import Oracle
from phasm_fdb.simulation.world.commit import Commit, SnapshotReader
from phasm_fdb.simulation.world.inspector import Inspector
from phasm_fdb.simulation.world.process import Process


class Order(Oracle):
    """Looks at each outside call whether it is its turn, and at each input that leaves the inbox."""

    def __init__(self, inspector: Inspector) -> None:
        super().__init__(inspector)
        self._has_keys = False

    def committed(self, commit: Commit) -> None:
        if not self._has_keys:
            self._has_keys = any(
                action.ordering_key is not None
                for run in commit.runs
                if run.actions is not None
                for action in run.actions.tracked
            )
        taken = [row for row, value in sorted(commit.of("q").items()) if value is None and row not in commit.moved]
        if taken:
            self._require_turns(commit, [Inbox.decode(row, _content(commit, row)) for row in taken])

    def _require_turns(self, commit: Commit, taken: Sequence[Queued]) -> None:
        """Inputs leave the inbox: none with the key of one before it, in the inbox or in this commit."""
        turns = {run.input.request_id: turn for turn, run in enumerate(commit.runs) if isinstance(run.input, Normal)}
        last: dict[bytes, Queued] = {}
        for queued in taken:
            key = queued.packed_key
            if key is None:
                continue
            earlier = last.get(key)
            if earlier is None:
                earlier = next(self._waiting_before(commit, queued), None)
            elif turns.get(earlier.request_id, -1) < turns.get(queued.request_id, len(commit.runs)):
                earlier = None
            if earlier is not None:
                raise InvariantViolation(
                    f"order per key: the input of request {queued.request_id!r} was applied before that of "
                    f"{earlier.request_id!r}, which has the same key {unpack(key)[0]!r} and was submitted earlier"
                )
            last[key] = queued

    def _waiting_before(self, commit: Commit, queued: Queued) -> Iterator[Queued]:
        """The inputs with the same key that were submitted earlier, and wait still."""
        keys = self.inspector.keyspace
        lane, _ = keys.inbox(int(unpack(queued.key[len(keys.all_inbox) :])[0]))
        for key, value in SnapshotReader(commit.after).rows(lane, queued.key):
            earlier = Inbox.decode(key, value)
            if earlier.packed_key == queued.packed_key:
                yield earlier

    def called(self, process: Process, packed_id: bytes, idempotency_key: str) -> None:
        if not self._has_keys:
            return
        snapshot = self.inspector.snapshot()
        row = self._row(snapshot, packed_id)
        content = None if row is None else snapshot.get(row)
        if row is None or content is None:
            return  # it was completed meanwhile: this call comes from a worker that does not know it yet
        mine = Record.decode(content)
        number = int(unpack(row[len(self.inspector.keyspace.outbox) :])[0])
        if mine.packed_key is None or idempotency_key != self._key_of(snapshot, number, stamp_of(row)):
            return  # or it was cancelled meanwhile, and emitted again
        lane, _ = self.inspector.keyspace.lane(number)
        stillborn = self.inspector.stillborn(snapshot)
        for key, value in SnapshotReader(snapshot).rows(lane, row):
            record = Record.decode(value)
            if record.packed_key == mine.packed_key and stamp_of(key) not in stillborn:
                raise InvariantViolation(
                    f"order per key: {process.name} runs {unpack(packed_id)[0]!r}, and {record.id(stamp_of(key))!r} of "
                    f"the same key {mine.ordering_key!r} was emitted before it and is pending"
                )

    def _key_of(self, snapshot: Snapshot, lane: int, stamp: Versionstamp) -> str:
        """The idempotency key of the action that lies at a place."""
        progress = snapshot.get(self.inspector.keyspace.progress_row(lane, stamp))
        origin = b"" if progress is None else Progress.decode(progress).origin
        emitted = stamp_of(origin) if origin else stamp
        return idempotency_key_of(self.inspector.definition.name, self.inspector.keyspace.prefix, emitted)

    def _row(self, snapshot: Snapshot, packed_id: bytes) -> bytes | None:
        """The outbox row of an action; None if it is not in its lane."""
        keys = self.inspector.keyspace
        place = snapshot.get(keys.id_row(packed_id))
        if place is None:
            return None
        lane, number, minted, due, *_ = IdRow.decode(place)
        if due is not None:
            return None
        if minted:
            stamp = unpack(packed_id)[0].tr_version
        else:
            stamp = snapshot.get(keys.location_row(packed_id))
        return None if stamp is None else keys.outbox_row(lane, Versionstamp(stamp[:STAMP_BYTES], number))


def _content(commit: Commit, row: bytes) -> bytes:
    content = commit.before.get(row)
    assert content is not None, "a row that a worker takes from the inbox was there"
    return content
