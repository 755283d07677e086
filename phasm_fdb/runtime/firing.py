"""Timers that fall due: their actions enter the lane, their inputs its inbox."""

from __future__ import annotations

from phasm_fdb.database.ranges import rows
from phasm_fdb.errors import CodecError
from phasm_fdb.inbox import Queued
from phasm_fdb.keyspace import Keyspace, stamp_of
from phasm_fdb.lease import Lease
from phasm_fdb.records import Progress, Record
from phasm_fdb.runtime.worker_transaction import WorkerTransaction

BATCH = 200


def fire(at: WorkerTransaction, lease: Lease) -> int:
    """Move the timers of a lane that are due, some of them; how many it were.

    Raises:
        StaleLease: the lane is lost; nothing was moved.
    """
    at.fence(lease)
    at.share()
    keys, snapshot = at.context.keyspace, at.tr.snapshot
    due = list(rows(snapshot, *keys.timers(lease.lane, before=at.now_ms + 1), limit=BATCH))
    # Whatever time a float is, it sorts behind all ints, and would never be due.
    floats = rows(snapshot, *keys.float_timers(lease.lane), limit=BATCH)
    due += [row for row in floats if not _is_later(keys, row[0], at.now_ms)]
    dead = at.context.outbox.stillborn(snapshot) if due else set()
    contents = at.staged.read_many([key for key, _ in due])
    fired = 0
    for (key, _), content in zip(due, contents, strict=True):
        try:
            if content is not None and stamp_of(key) not in dead:  # not cancelled since the look
                _move(at, lease.lane, key, Record.decode(content, key))
                fired += 1
        except CodecError as error:
            at.bury_row(key, error)
        at.staged.clear(key)
    at.flush()
    return len(due)


def _is_later(keys: Keyspace, row: bytes, now_ms: int) -> bool:
    """Whether a timer is not due yet; one of which nobody can say when is due."""
    try:
        return keys.timer_of(row)[1] > now_ms
    except CodecError:
        return False


def _move(at: WorkerTransaction, lane: int, key: bytes, record: Record) -> None:
    keys, staged = at.context.keyspace, at.staged
    packed_id = record.packed(stamp_of(key))
    if not record.is_input:
        progress = record.progress or Progress(origin=key[-12:])
        plain = Record(packed_id, record.raw, record.packed_key)
        at.context.outbox.enter(at, lane, plain, progress)
        return
    staged.clear(keys.id_row(packed_id))
    if record.packed_id is not None:
        staged.clear(keys.location_row(packed_id))
    failures = 0 if record.progress is None else record.progress.failures
    at.context.inbox.put(at, lane, Queued(b"", record.raw, at.now_ms, None, record.packed_key, failures))
