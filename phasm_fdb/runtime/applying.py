"""Applying the inputs of a lane: many in one transaction, each staged on its own, in order."""

from __future__ import annotations

import contextlib
from collections.abc import Set
from dataclasses import dataclass, field
from typing import Any

from phasm_fdb.actions import Untracked
from phasm_fdb.database.staged import Staged, encode_count
from phasm_fdb.database.versions import read_version
from phasm_fdb.dead_letters import bury, bury_row
from phasm_fdb.errors import CodecError, InputFailed, InputRejected, NewerValue, TransitionError, message_of
from phasm_fdb.failure import Failure, reads_of, text_of
from phasm_fdb.inbox import Queued
from phasm_fdb.keyspace import stamp_of
from phasm_fdb.machine import Normal
from phasm_fdb.outbox import TransactionStamps
from phasm_fdb.receipts import Receipt, is_open
from phasm_fdb.records import Progress, Record
from phasm_fdb.runtime.capabilities import Capabilities
from phasm_fdb.runtime.causes import cause_of, is_ours
from phasm_fdb.runtime.lease import Lease, fence
from phasm_fdb.runtime.retry import Retry
from phasm_fdb.transition.context import LayerContext
from phasm_fdb.transition.layer_transaction import LayerTransaction

#: How many inputs of unknown types are looked past to find some that this code knows.
LOOK_PAST = 1_000

#: How an input that the machine sent itself is tried again.
TIMERS = Retry()

ONE = encode_count(1)

#: A batch ends early when it has used so many of the 65,536 numbers beside its versionstamp.
LAST_NUMBER = 40_000


@dataclass(slots=True)
class Batch:
    """What one transaction applied.

    Attributes:
        taken: how many inputs are out of the inbox.
        applied, rejected, buried: what became of them.
        failed: those on which the machine failed, with the error, and whether they are tried again.
        untracked: the untracked actions that they emitted.
        payloads: what the chosen inputs hold, by row; those that do not decode are not in it.
        damaged: the rows that do not decode, with what is wrong with each.
        unknown: the types that this code does not know, of inputs that were left in place.
        left: the rows of inputs that were left in place since the machine came upon state that newer code wrote.
        more: there were more inputs than fitted.
    """

    taken: int = 0
    applied: int = 0
    rejected: int = 0
    buried: int = 0
    failed: list[tuple[Queued, Exception, bool]] = field(default_factory=list)
    untracked: list[Untracked[Any]] = field(default_factory=list)
    payloads: dict[bytes, Any] = field(default_factory=dict, repr=False)
    damaged: dict[bytes, CodecError] = field(default_factory=dict)
    unknown: set[str] = field(default_factory=set)
    left: set[bytes] = field(default_factory=set)
    more: bool = False


def apply_batch(
    context: LayerContext, capabilities: Capabilities, lease: Lease, size: int, left: Set[bytes], now: float, tr: Any
) -> Batch:
    """Apply the first inputs of a lane, at most `size`, in one transaction, which the caller commits.

    A rejection is recorded as the input's outcome. An input that makes the machine fail goes to the dead letters; one
    that the machine sent itself is tried again before that, unless others wait behind it. None touches its neighbours.
    One on which the machine comes upon state that newer code wrote is left in its place, and with it those behind it of
    its ordering key.

    Args:
        left: the rows of inputs that were left so before.

    Raises:
        StaleLease: the lane is lost; nothing is written.
    """
    base = Staged(tr)
    fence(context.keyspace, base, lease)
    base.exclusive = context.meta.load(base).cached
    batch = Batch()
    # A snapshot: only the holder of the lease takes inputs out, and new ones may come in meanwhile.
    chosen = _choose(context, capabilities, tr.snapshot, lease.lane, size, batch, left)
    version = read_version(tr)
    receipts = [_receipt(context, queued, now, version) for queued in chosen]
    base.read_many([receipt.key for receipt in receipts if receipt is not None])
    stamps = TransactionStamps()
    blocked: set[bytes] = set()
    for queued, receipt in zip(chosen, receipts, strict=True):
        if stamps.count > LAST_NUMBER:
            batch.more = True
            break
        if queued.packed_key in blocked:
            continue
        try:
            _apply(context, base, stamps, queued, receipt, now, batch)
        except NewerValue:
            batch.unknown.add(f"state that {queued.tag} needs, in a newer form")
            batch.left.add(queued.key)
            if queued.packed_key is not None:
                blocked.add(queued.packed_key)
            continue
        _take(base, queued)
        batch.taken += 1
    _bury_damaged(context, base, stamps, batch, now)
    base.flush(tr)
    return batch


def _bury_damaged(context: LayerContext, base: Staged, stamps: TransactionStamps, batch: Batch, now: float) -> None:
    """Move the rows that do not decode to the dead letters."""
    for row, error in batch.damaged.items():
        bury_row(context, base, stamps, row, error, int(now * 1000))
    batch.taken += len(batch.damaged)
    batch.buried += len(batch.damaged)


def _choose(
    context: LayerContext,
    capabilities: Capabilities,
    reader: Any,
    lane: int,
    size: int,
    batch: Batch,
    left: Set[bytes] = frozenset(),
) -> list[Queued]:
    """The inputs to apply: not those that are left to newer code, nor any behind one of those with its ordering key.

    Rows that do not decode are named in the batch.
    """
    keys = context.keyspace
    chosen: list[Queued] = []
    blocked: set[bytes] = set()
    for key, value in context.inbox.head(reader, lane, size + LOOK_PAST):
        if len(chosen) + len(batch.damaged) == size:
            batch.more = True
            break
        try:
            keys.check_inbox_row(key)
            queued = context.inbox.decode(key, value)
            queued.request_id  # noqa: B018 - to see that it decodes
        except CodecError as error:
            batch.damaged[key] = error
            continue
        if queued.packed_key in blocked:
            continue
        unknown = _unknown(context, capabilities, queued, batch)
        if unknown is None and key not in left:
            chosen.append(queued)
            continue
        if unknown is not None:
            batch.unknown.add(unknown)
        if queued.packed_key is not None:
            blocked.add(queued.packed_key)
    return chosen


def _unknown(context: LayerContext, capabilities: Capabilities, queued: Queued, batch: Batch) -> str | None:
    """What of an input this code does not know; None if it knows it, or knows that it does not decode.

    What was decoded is kept in the batch.
    """
    tag = queued.tag
    if tag not in (capabilities.inputs if queued.untracked is None else capabilities.untracked):
        return tag
    try:
        batch.payloads[queued.key] = _decode(context, queued)
    except NewerValue:
        return f"{tag} in a newer form"
    except CodecError:
        return None
    return None


def _decode(context: LayerContext, queued: Queued) -> Any:
    """What a row holds: an input's payload, or an untracked action; raises a CodecError if it does not decode."""
    if queued.untracked is not None:
        return context.definition.untracked.from_raw(queued.untracked)
    return context.definition.inputs.from_raw(queued.raw)


def _receipt(context: LayerContext, queued: Queued, now: float, version: int) -> Receipt | None:
    """Where the outcome of an input goes; nowhere for one that the machine sent itself."""
    return None if queued.packed_request is None else context.receipts.for_request(queued.request_id, now, version)


def _apply(
    context: LayerContext,
    base: Staged,
    stamps: TransactionStamps,
    queued: Queued,
    receipt: Receipt | None,
    now: float,
    batch: Batch,
) -> None:
    """Apply one input, or record why not; an untracked action is only taken out.

    Raises:
        NewerValue: the machine came upon state that newer code wrote; nothing is recorded.
    """
    try:
        if queued.untracked is not None:
            batch.untracked.append(Untracked(_payload(context, queued, batch)))
            return
        at = LayerTransaction(context, base, stamps)
        applied = at.apply(_input(context, queued, batch), receipt, check_receipt=True)
    except TransitionError as rejection:
        batch.rejected += 1
        if receipt is not None and not isinstance(rejection, InputRejected):
            context.receipts.refuse(base, receipt, InputRejected(type(rejection).__name__, message_of(rejection)))
    except InputFailed:  # that was the outcome before
        batch.buried += 1
    except NewerValue:
        raise
    except Exception as error:
        if not is_ours(error):
            raise
        _failed(context, base, stamps, queued, receipt, error, now, batch)
    else:
        batch.applied += 1
        batch.untracked += () if applied.repeated else applied.untracked


def _failed(
    context: LayerContext,
    base: Staged,
    stamps: TransactionStamps,
    queued: Queued,
    receipt: Receipt | None,
    error: Exception,
    now: float,
    batch: Batch,
) -> None:
    """Record that the machine failed on an input: somebody waits for the outcome, or it is a timer and may wait."""
    failures = queued.failures + 1
    waits = queued.packed_request is None and queued.packed_key is None and failures < TIMERS.max_transitions
    batch.failed.append((queued, error, waits))
    if waits:
        keys = context.keyspace
        lane, next_ms = keys.lane_of_input(queued.key), int((now + TIMERS.longest_delay(failures)) * 1000)
        progress = Progress(failures=failures, cause=cause_of(error))
        timer = Record(None, queued.raw, is_input=True, progress=progress).encode()
        base.set(keys.timer_row(lane, next_ms, stamp_of(queued.key)), timer)
        base.add(keys.signal(lane), ONE)
        return
    batch.buried += 1
    reads: tuple[tuple[bytes, bytes | None], ...] = ()
    with contextlib.suppress(CodecError):
        reads = reads_of(context, base, _input(context, queued, batch))
    Failure(traceback=text_of(error), reads=reads).write(base, context.keyspace, queued.key[-12:])
    _bury(context, base, stamps, queued, receipt, cause_of(error), now, queued.key[-12:])


def _payload(context: LayerContext, queued: Queued, batch: Batch) -> Any:
    found = batch.payloads.get(queued.key, batch)
    return _decode(context, queued) if found is batch else found


def _input(context: LayerContext, queued: Queued, batch: Batch) -> Normal[Any]:
    """A queued input as the machine gets it; raises a CodecError if its payload does not decode."""
    return Normal(_payload(context, queued, batch), queued.at, queued.request_id)


def _take(base: Staged, queued: Queued) -> None:
    """Take an input out of the inbox, once.

    It was found by a snapshot read, and the lease is the worker's own: a commit that timed out, and is done late, would
    not conflict with the one that was made in its place.
    """
    base.add_read_conflict_range(queued.key, queued.key + b"\0")
    base.clear(queued.key)


def bury_first(
    context: LayerContext, capabilities: Capabilities, lease: Lease, cause: str, now: float, tr: Any
) -> None:
    """Move the first input of a lane to the dead letters: alone it makes a transaction that cannot be committed."""
    base = Staged(tr)
    fence(context.keyspace, base, lease)
    batch, stamps = Batch(), TransactionStamps()
    for queued in _choose(context, capabilities, tr.snapshot, lease.lane, 1, batch):
        receipt = _receipt(context, queued, now, read_version(tr))
        if receipt is None or is_open(base.read(receipt.key)):
            _bury(context, base, stamps, queued, receipt, cause, now)
        _take(base, queued)
    _bury_damaged(context, base, stamps, batch, now)
    base.flush(tr)


def _bury(
    context: LayerContext,
    base: Staged,
    stamps: TransactionStamps,
    queued: Queued,
    receipt: Receipt | None,
    cause: str,
    now: float,
    failure: bytes = b"",
) -> None:
    record = Record(queued.packed_request, queued.raw, queued.packed_key, is_input=True)
    progress = Progress(attempts=queued.failures + 1)
    bury(context, base, stamps, record, progress, cause, int(now * 1000), failure)
    if receipt is not None:
        context.receipts.refuse(base, receipt, InputFailed(cause))
