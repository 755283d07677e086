"""Starting actions: one transaction notes that they run, so that after a crash it is known which may have."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from phasm_fdb.definition import Definition
from phasm_fdb.errors import CodecError, NewerValue
from phasm_fdb.records import Progress, Record
from phasm_fdb.runtime.capabilities import Capabilities, Capability
from phasm_fdb.runtime.limit import Limiter, Permits
from phasm_fdb.runtime.work import Work
from phasm_fdb.runtime.worker_transaction import WorkerTransaction


@dataclass(slots=True)
class Started:
    """What became of the works that were to be started.

    Attributes:
        running: their start is noted, as progress that counts one more attempt; with the row of the slot that each
            takes, if any: call the handlers.
        gone: cancelled since they were read.
        stale: their lane is lost.
        unreadable: their content does not decode, and why.
        spent: their last attempt was under way when a worker was lost, and there are no more.
        newer: newer code wrote their content: they are left to it.
        kept: the call was made, and its result is kept: it is to be applied, and nothing is to be called.
        denied: at the limit of their type, and in how many seconds to try again, by type.
    """

    running: list[tuple[Work, Progress, bytes | None]] = field(default_factory=list)
    gone: list[Work] = field(default_factory=list)
    stale: list[Work] = field(default_factory=list)
    unreadable: list[tuple[Work, CodecError]] = field(default_factory=list)
    spent: list[Work] = field(default_factory=list)
    kept: list[Work] = field(default_factory=list)
    newer: list[Work] = field(default_factory=list)
    denied: dict[str, tuple[list[Work], float]] = field(default_factory=dict)


def start(at: WorkerTransaction, capabilities: Capabilities, limiter: Limiter, works: Sequence[Work]) -> Started:
    """Note, in one transaction, that these works run from now on; the caller commits it and then calls the handlers.

    What is known of the works is left as it is until then: the transaction may run again, or not be committed at all.
    """
    keys, staged = at.context.keyspace, at.staged
    started = Started()
    leases = dict.fromkeys(work.lease for work in works)
    rows = [*(keys.lease(lease.lane) for lease in leases), *(work.row for work in works)]
    contents = staged.read_many(rows)[len(leases) :]
    stale = at.stale_among(leases)
    wanted: dict[str, list[Work]] = defaultdict(list)
    for work, content in zip(works, contents, strict=True):
        if work.lease in stale:
            started.stale.append(work)
        elif content is None:
            started.gone.append(work)
        elif _may_start(at.context.definition, capabilities, work, content, started):
            wanted[work.tag].append(work)
    for tag, same_type in wanted.items():
        permits = _permits(at, limiter, capabilities.by_tag[tag], same_type)
        for index, work in enumerate(same_type[: permits.count]):
            progress = _begun(work.progress, at.now_ms)
            staged.set(keys.progress_row(work.lane, work.stamp), progress.encode())
            started.running.append((work, progress, permits.slots[index] if permits.slots else None))
        if permits.count < len(same_type):
            started.denied[tag] = same_type[permits.count :], permits.retry_seconds
    at.flush()
    return started


def _may_start(
    definition: Definition, capabilities: Capabilities, work: Work, content: bytes, started: Started
) -> bool:
    """Decode a work, and decide whether it may be started; what may not is noted, with why."""
    try:
        work.record = record = Record.decode(content, work.row)
        work.id = record.id(work.stamp)
        if work.progress.failures:
            started.kept.append(work)
            return False
        raw = record.raw if work.progress.instead is None else work.progress.instead
        work.action = definition.tracked.from_raw(raw)
    except NewerValue:
        started.newer.append(work)
        return False
    except CodecError as error:
        started.unreadable.append((work, error))
        return False
    retry = capabilities.by_tag[work.tag].handler.retry
    if retry.max_attempts is not None and work.progress.attempts >= retry.max_attempts:
        started.spent.append(work)
        return False
    return True


def _permits(at: WorkerTransaction, limiter: Limiter, capability: Capability, works: Sequence[Work]) -> Permits:
    if capability.limit is None:
        return Permits(len(works))
    return limiter.take(at.tr, at.staged, capability.name, capability.limit, [work.row[-12:] for work in works])


def _begun(before: Progress, now_ms: int) -> Progress:
    """The progress with one more attempt begun."""
    first_ms = before.first_ms if before.attempts else now_ms
    return replace(before, attempts=before.attempts + 1, running=True, first_ms=first_ms, next_ms=0)
