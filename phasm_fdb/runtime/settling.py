"""Settling attempts: what they led to is recorded, of many in one transaction, each staged on its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from phasm_fdb.database.staged import Staged
from phasm_fdb.outbox import TransactionStamps
from phasm_fdb.runtime.ending import Ending, Settled, Verdict
from phasm_fdb.runtime.lease import stale_among
from phasm_fdb.runtime.recorder import Recorder
from phasm_fdb.transition.context import LayerContext


def settle(context: LayerContext, endings: Sequence[Ending], now_ms: int, tr: Any) -> list[Settled]:
    """Record how attempts ended, in one transaction, which the caller commits.

    A result that came too late, or under a lost lease, is dropped and leaves no trace; no ending touches its
    neighbours.
    """
    base = Staged(tr)
    base.exclusive = context.meta.load(base).cached
    recorder = Recorder(context, base, TransactionStamps(), now_ms)
    keys = context.keyspace
    works = [ending.work for ending in endings]
    leases = dict.fromkeys(work.lease for work in works)
    # What the transitions will read anyway, with all reads in flight together.
    base.read_many(
        [
            *(keys.lease(lease.lane) for lease in leases),
            *(work.row for work in works),
            *(keys.id_row(work.packed_id) for work in works),
            *(keys.location_row(work.packed_id) for work in works if work.record and work.record.packed_id),
        ]
    )
    stale = stale_among(keys, base, leases)
    settled = [Settled(Verdict.STALE) if ending.work.lease in stale else recorder.record(ending) for ending in endings]
    base.flush(tr)
    return settled
