"""Applying the inputs of a lane: many in one transaction, each staged on its own, in order."""

from __future__ import annotations

import contextlib
from collections.abc import Set
from dataclasses import dataclass, field
from typing import Any

from phasm_fdb.actions import Untracked
from phasm_fdb.database.staged import encode_count
from phasm_fdb.database.versions import read_version
from phasm_fdb.errors import CodecError, InputFailed, InputRejected, NewerValue, TransitionError, message_of
from phasm_fdb.failure import Failure, reads_of, text_of
from phasm_fdb.inbox import Queued
from phasm_fdb.keyspace import stamp_of
from phasm_fdb.lease import Lease
from phasm_fdb.machine import Normal
from phasm_fdb.receipts import Receipt, is_open
from phasm_fdb.records import Progress, Record
from phasm_fdb.runtime.capabilities import Capabilities
from phasm_fdb.runtime.causes import cause_of, is_ours
from phasm_fdb.runtime.retry import Retry
from phasm_fdb.runtime.worker_transaction import WorkerTransaction

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


def apply_batch(at: WorkerTransaction, capabilities: Capabilities, lease: Lease, size: int, left: Set[bytes]) -> Batch:
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
    at.fence(lease)
    at.share()
    return _Applying(at, capabilities, lease.lane).apply_first(size, left)


def bury_first(at: WorkerTransaction, capabilities: Capabilities, lease: Lease, cause: str) -> None:
    """Move the first input of a lane to the dead letters: alone it makes a transaction that cannot be committed."""
    at.fence(lease)
    _Applying(at, capabilities, lease.lane).bury_first(cause)


class _Applying:
    """Takes inputs out of one lane, in one transaction."""

    def __init__(self, at: WorkerTransaction, capabilities: Capabilities, lane: int) -> None:
        self._at = at
        self._context = at.context
        self._capabilities = capabilities
        self._lane = lane
        self._batch = Batch()

    def apply_first(self, size: int, left: Set[bytes]) -> Batch:
        at, batch = self._at, self._batch
        chosen = self._choose(size, left)
        version = read_version(at.tr)
        receipts = [self._receipt(queued, version) for queued in chosen]
        at.staged.read_many([receipt.key for receipt in receipts if receipt is not None])
        blocked: set[bytes] = set()
        for queued, receipt in zip(chosen, receipts, strict=True):
            if at.stamps.count > LAST_NUMBER:
                batch.more = True
                break
            if queued.packed_key in blocked:
                continue
            try:
                self._apply(queued, receipt)
            except NewerValue:
                batch.unknown.add(f"state that {queued.tag} needs, in a newer form")
                batch.left.add(queued.key)
                if queued.packed_key is not None:
                    blocked.add(queued.packed_key)
                continue
            _take(at, queued)
            batch.taken += 1
        self._bury_damaged()
        at.flush()
        return batch

    def bury_first(self, cause: str) -> None:
        at = self._at
        for queued in self._choose(1):
            receipt = self._receipt(queued, read_version(at.tr))
            if receipt is None or is_open(at.staged.read(receipt.key)):
                self._bury(queued, receipt, cause)
            _take(at, queued)
        self._bury_damaged()
        at.flush()

    # --------------------------------------------------------------------------------------------- choosing

    def _choose(self, size: int, left: Set[bytes] = frozenset()) -> list[Queued]:
        """The inputs to apply: not those that are left to newer code, nor any behind one of those of its key.

        Rows that do not decode are named in the batch. They are read by a snapshot: only the holder of the lease takes
        inputs out, and new ones may come in meanwhile.
        """
        context, batch = self._context, self._batch
        chosen: list[Queued] = []
        blocked: set[bytes] = set()
        for key, value in context.inbox.head(self._at.tr.snapshot, self._lane, size + LOOK_PAST):
            if len(chosen) + len(batch.damaged) == size:
                batch.more = True
                break
            try:
                context.keyspace.check_inbox_row(key)
                queued = context.inbox.decode(key, value)
                queued.request_id  # noqa: B018 - to see that it decodes
            except CodecError as error:
                batch.damaged[key] = error
                continue
            if queued.packed_key in blocked:
                continue
            unknown = self._unknown(queued)
            if unknown is None and key not in left:
                chosen.append(queued)
                continue
            if unknown is not None:
                batch.unknown.add(unknown)
            if queued.packed_key is not None:
                blocked.add(queued.packed_key)
        return chosen

    def _unknown(self, queued: Queued) -> str | None:
        """What of an input this code does not know; None if it knows it, or knows that it does not decode.

        What was decoded is kept in the batch.
        """
        tag, known = queued.tag, self._capabilities
        if tag not in (known.inputs if queued.untracked is None else known.untracked):
            return tag
        try:
            self._batch.payloads[queued.key] = self._decode(queued)
        except NewerValue:
            return f"{tag} in a newer form"
        except CodecError:
            return None
        return None

    def _decode(self, queued: Queued) -> Any:
        """What a row holds: an input's payload, or an untracked action; raises a CodecError if it does not decode."""
        if queued.untracked is not None:
            return self._context.definition.untracked.from_raw(queued.untracked)
        return self._context.definition.inputs.from_raw(queued.raw)

    def _payload(self, queued: Queued) -> Any:
        payloads = self._batch.payloads
        return payloads[queued.key] if queued.key in payloads else self._decode(queued)

    def _input(self, queued: Queued) -> Normal[Any]:
        """A queued input as the machine gets it; raises a CodecError if its payload does not decode."""
        return Normal(self._payload(queued), queued.at, queued.request_id)

    def _receipt(self, queued: Queued, version: int) -> Receipt | None:
        """Where the outcome of an input goes; nowhere for one that the machine sent itself."""
        if queued.packed_request is None:
            return None
        return self._context.receipts.for_request(queued.request_id, self._at.now, version)

    # --------------------------------------------------------------------------------------------- applying

    def _apply(self, queued: Queued, receipt: Receipt | None) -> None:
        """Apply one input, or record why not; an untracked action is only taken out.

        Raises:
            NewerValue: the machine came upon state that newer code wrote; nothing is recorded.
        """
        at, batch = self._at, self._batch
        try:
            if queued.untracked is not None:
                batch.untracked.append(Untracked(self._payload(queued)))
                return
            applied = at.apply(self._input(queued), receipt, check_receipt=True)
        except TransitionError as rejection:
            batch.rejected += 1
            if receipt is not None and not isinstance(rejection, InputRejected):
                refusal = InputRejected(type(rejection).__name__, message_of(rejection))
                self._context.receipts.refuse(at.staged, receipt, refusal)
        except InputFailed:  # that was the outcome before
            batch.buried += 1
        except NewerValue:
            raise
        except Exception as error:
            if not is_ours(error):
                raise
            self._failed(queued, receipt, error)
        else:
            batch.applied += 1
            batch.untracked += () if applied.repeated else applied.untracked

    def _failed(self, queued: Queued, receipt: Receipt | None, error: Exception) -> None:
        """Record that the machine failed on an input: somebody waits for the outcome, or it is a timer and may wait."""
        at, batch = self._at, self._batch
        failures = queued.failures + 1
        waits = queued.packed_request is None and queued.packed_key is None and failures < TIMERS.max_transitions
        batch.failed.append((queued, error, waits))
        if waits:
            self._wait(queued, failures, error)
            return
        batch.buried += 1
        reads: tuple[tuple[bytes, bytes | None], ...] = ()
        with contextlib.suppress(CodecError):
            reads = reads_of(at, self._input(queued))
        Failure(traceback=text_of(error), reads=reads).write(at.staged, self._context.keyspace, queued.key[-12:])
        self._bury(queued, receipt, cause_of(error), queued.key[-12:])

    def _wait(self, queued: Queued, failures: int, error: Exception) -> None:
        """Put an input among the timers again, to be tried when it falls due."""
        at, keys = self._at, self._context.keyspace
        lane, next_ms = keys.lane_of_input(queued.key), int((at.now + TIMERS.longest_delay(failures)) * 1000)
        progress = Progress(failures=failures, cause=cause_of(error))
        timer = Record(None, queued.raw, is_input=True, progress=progress).encode()
        at.staged.set(keys.timer_row(lane, next_ms, stamp_of(queued.key)), timer)
        at.staged.add(keys.signal(lane), ONE)

    # ---------------------------------------------------------------------------------------------- burying

    def _bury(self, queued: Queued, receipt: Receipt | None, cause: str, failure: bytes = b"") -> None:
        record = Record(queued.packed_request, queued.raw, queued.packed_key, is_input=True)
        self._at.bury(record, Progress(attempts=queued.failures + 1), cause, failure)
        if receipt is not None:
            self._context.receipts.refuse(self._at.staged, receipt, InputFailed(cause))

    def _bury_damaged(self) -> None:
        """Move the rows that do not decode to the dead letters."""
        damaged = self._batch.damaged
        for row, error in damaged.items():
            self._at.bury_row(row, error)
        self._batch.taken += len(damaged)
        self._batch.buried += len(damaged)


def _take(at: WorkerTransaction, queued: Queued) -> None:
    """Take an input out of the inbox, once.

    It was found by a snapshot read, and the lease is the worker's own: a commit that timed out, and is done late, would
    not conflict with the one that was made in its place.
    """
    at.staged.add_read_conflict_range(queued.key, queued.key + b"\0")
    at.staged.clear(queued.key)
