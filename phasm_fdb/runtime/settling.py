"""Settling attempts: what they led to is recorded, of many in one transaction, each staged on its own."""

from __future__ import annotations

from collections.abc import Sequence

from phasm_fdb.runtime.ending import Ending, Settled, Verdict
from phasm_fdb.runtime.recorder import Recorder
from phasm_fdb.runtime.worker_transaction import WorkerTransaction


def settle(at: WorkerTransaction, endings: Sequence[Ending]) -> list[Settled]:
    """Record how attempts ended, in one transaction, which the caller commits.

    A result that came too late, or under a lost lease, is dropped and leaves no trace; no ending touches its
    neighbours.
    """
    at.share()
    keys, recorder = at.context.keyspace, Recorder(at)
    works = [ending.work for ending in endings]
    leases = dict.fromkeys(work.lease for work in works)
    # What the transitions will read anyway, with all reads in flight together.
    at.staged.read_many(
        [
            *(keys.lease(lease.lane) for lease in leases),
            *(work.row for work in works),
            *(keys.id_row(work.packed_id) for work in works),
            *(keys.location_row(work.packed_id) for work in works if work.record and work.record.packed_id),
        ]
    )
    stale = at.stale_among(leases)
    settled = [Settled(Verdict.STALE) if ending.work.lease in stale else recorder.record(ending) for ending in endings]
    at.flush()
    return settled
