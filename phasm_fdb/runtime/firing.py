"""Timers that fall due: their actions enter the lane, their inputs its inbox."""

from __future__ import annotations

from typing import Any

from phasm_fdb.database.ranges import rows
from phasm_fdb.database.staged import Staged
from phasm_fdb.dead_letters import bury_row
from phasm_fdb.errors import CodecError
from phasm_fdb.inbox import Queued
from phasm_fdb.keyspace import Keyspace, stamp_of
from phasm_fdb.outbox import TransactionStamps
from phasm_fdb.records import Progress, Record
from phasm_fdb.runtime.lease import Lease, fence
from phasm_fdb.transition.context import LayerContext

BATCH = 200


def fire(context: LayerContext, lease: Lease, now_ms: int, tr: Any) -> int:
    """Move the timers of a lane that are due, some of them; how many it were.

    Raises:
        StaleLease: the lane is lost; nothing was moved.
    """
    keys = context.keyspace
    staged = Staged(tr)
    fence(keys, staged, lease)
    staged.exclusive = context.meta.load(staged).cached
    stamps = TransactionStamps()
    due = list(rows(tr.snapshot, *keys.timers(lease.lane, before=now_ms + 1), limit=BATCH))
    # Whatever time a float is, it sorts behind all ints, and would never be due.
    floats = rows(tr.snapshot, *keys.float_timers(lease.lane), limit=BATCH)
    due += [row for row in floats if not _is_later(keys, row[0], now_ms)]
    dead = context.outbox.stillborn(tr.snapshot) if due else set()
    contents = staged.read_many([key for key, _ in due])
    fired = 0
    for (key, _), content in zip(due, contents, strict=True):
        try:
            if content is not None and stamp_of(key) not in dead:  # not cancelled since the look
                _move(context, staged, stamps, lease.lane, key, Record.decode(content, key), now_ms)
                fired += 1
        except CodecError as error:
            bury_row(context, staged, stamps, key, error, now_ms)
        staged.clear(key)
    staged.flush(tr)
    return len(due)


def _is_later(keys: Keyspace, row: bytes, now_ms: int) -> bool:
    """Whether a timer is not due yet; one of which nobody can say when is due."""
    try:
        return keys.timer_of(row)[1] > now_ms
    except CodecError:
        return False


def _move(
    context: LayerContext,
    staged: Staged,
    stamps: TransactionStamps,
    lane: int,
    key: bytes,
    record: Record,
    now_ms: int,
) -> None:
    keys, stamp = context.keyspace, stamp_of(key)
    packed_id = record.packed(stamp)
    if not record.is_input:
        progress = record.progress or Progress(origin=key[-12:])
        plain = Record(packed_id, record.raw, record.packed_key)
        context.outbox.enter(staged, stamps, lane, plain, progress)
        return
    staged.clear(keys.id_row(packed_id))
    if record.packed_id is not None:
        staged.clear(keys.location_row(packed_id))
    failures = 0 if record.progress is None else record.progress.failures
    context.inbox.put(staged, stamps, lane, Queued(b"", record.raw, now_ms, None, record.packed_key, failures))
