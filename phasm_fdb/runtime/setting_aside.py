"""Rows of a lane that do not decode: they go to the dead letters, so that nobody stumbles over them again."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

from phasm_fdb.database.staged import Staged
from phasm_fdb.dead_letters import bury, bury_row
from phasm_fdb.errors import CodecError, message_of
from phasm_fdb.keyspace import stamp_of
from phasm_fdb.outbox import TransactionStamps
from phasm_fdb.records import Progress, Record
from phasm_fdb.runtime.lease import Lease, fence
from phasm_fdb.transition.context import LayerContext


def set_aside(context: LayerContext, lease: Lease, damaged: Mapping[bytes, CodecError], now_ms: int, tr: Any) -> int:
    """Move rows of a lane to the dead letters; how many it were.

    An action of which only the progress does not decode is given up as it is. Of any other row the bytes are kept.

    Args:
        damaged: the rows, each with what is wrong with it.

    Raises:
        StaleLease: the lane is lost; nothing was moved.
    """
    keys, staged, stamps = context.keyspace, Staged(tr), TransactionStamps()
    fence(keys, staged, lease)
    for row, error in damaged.items():
        value = staged.read(row)
        if value is None:
            continue
        if row.startswith(keys.outbox) and _give_up(context, staged, stamps, row, value, error, now_ms):
            continue
        bury_row(context, staged, stamps, row, error, now_ms)
        if row.startswith(keys.outbox):
            staged.clear(keys.progress_of(row))
    staged.flush(tr)
    return len(damaged)


def _give_up(
    context: LayerContext,
    staged: Staged,
    stamps: TransactionStamps,
    row: bytes,
    value: bytes,
    error: CodecError,
    now_ms: int,
) -> bool:
    """Give an action up whose own row decodes; False if it does not."""
    try:
        stamp, record = stamp_of(row), Record.decode(value, row)
        id, packed_id = record.id(stamp), record.packed(stamp)
    except CodecError:
        return False
    with contextlib.suppress(CodecError):  # the way from the id to the row may be damaged too
        context.outbox.remove(staged, stamps, id)
    staged.clear(context.keyspace.id_row(packed_id))
    staged.clear(row)
    staged.clear(context.keyspace.progress_of(row))
    letter = Record(packed_id, record.raw, record.packed_key)
    bury(context, staged, stamps, letter, Progress(origin=row[-12:]), f"CodecError: {message_of(error)}", now_ms)
    return True
