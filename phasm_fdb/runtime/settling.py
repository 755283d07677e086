"""Settling attempts: their results are fed to the machine, many in one transaction, each staged on its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from phasm_fdb.database.staged import Staged
from phasm_fdb.outbox import TransactionStamps
from phasm_fdb.runtime.failing import Settled, Verdict, complete, fail, is_ours
from phasm_fdb.runtime.lease import stale_among
from phasm_fdb.runtime.retry import Retry
from phasm_fdb.runtime.work import Work
from phasm_fdb.transition import Machinery


@dataclass(frozen=True, slots=True)
class Ending:
    """How an attempt ended.

    Attributes:
        error: what the handler raised; None if it returned `result`.
        delay_seconds: how long to wait if the action is tried again.
    """

    work: Work
    retry: Retry
    result: Any
    error: BaseException | None
    delay_seconds: float


def settle(machinery: Machinery, endings: Sequence[Ending], now_ms: int, tr: Any) -> list[Settled]:
    """Record how attempts ended, in one transaction, which the caller commits.

    A result that came too late, or under a lost lease, is dropped and leaves no trace; one that the machine refuses
    counts as a failed attempt; neither touches its neighbours.
    """
    base = Staged(tr)
    base.exclusive = machinery.meta.load(base).cached
    stamps = TransactionStamps()
    keys = machinery.keyspace
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
    settled = [
        Settled(Verdict.STALE) if ending.work.lease in stale else _settle(machinery, base, stamps, ending, now_ms)
        for ending in endings
    ]
    base.flush(tr)
    return settled


def _settle(machinery: Machinery, base: Staged, stamps: TransactionStamps, ending: Ending, now_ms: int) -> Settled:
    work = ending.work
    if work.slot is not None:
        base.clear(work.slot)
    if base.read(work.row) is None:
        return Settled(Verdict.GONE)
    error = ending.error
    if error is None:
        try:
            return complete(machinery, base, stamps, work, ending.result, now_ms)
        except Exception as refusal:
            if not is_ours(refusal):
                raise
            error = refusal
    return fail(machinery, base, stamps, work, ending.retry, error, ending.delay_seconds, now_ms)
