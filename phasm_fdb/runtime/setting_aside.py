"""Rows of a lane that do not decode: they go to the dead letters, so that nobody stumbles over them again."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping

from phasm_fdb.errors import CodecError, message_of
from phasm_fdb.keyspace import stamp_of
from phasm_fdb.lease import Lease
from phasm_fdb.records import Progress, Record
from phasm_fdb.runtime.worker_transaction import WorkerTransaction


def set_aside(at: WorkerTransaction, lease: Lease, damaged: Mapping[bytes, CodecError]) -> int:
    """Move rows of a lane to the dead letters; how many it were.

    An action of which only the progress does not decode is given up as it is. Of any other row the bytes are kept.

    Args:
        damaged: the rows, each with what is wrong with it.

    Raises:
        StaleLease: the lane is lost; nothing was moved.
    """
    at.fence(lease)
    keys = at.context.keyspace
    for row, error in damaged.items():
        value = at.staged.read(row)
        if value is None:
            continue
        if row.startswith(keys.outbox) and _give_up(at, row, value, error):
            continue
        at.bury_row(row, error)
        if row.startswith(keys.outbox):
            at.staged.clear(keys.progress_of(row))
    at.flush()
    return len(damaged)


def _give_up(at: WorkerTransaction, row: bytes, value: bytes, error: CodecError) -> bool:
    """Give an action up whose own row decodes; False if it does not."""
    try:
        stamp, record = stamp_of(row), Record.decode(value, row)
        id, packed_id = record.id(stamp), record.packed(stamp)
    except CodecError:
        return False
    with contextlib.suppress(CodecError):  # the way from the id to the row may be damaged too
        at.context.outbox.remove(at, id)
    at.staged.clear(at.context.keyspace.id_row(packed_id))
    at.staged.clear(row)
    at.staged.clear(at.context.keyspace.progress_of(row))
    letter = Record(packed_id, record.raw, record.packed_key)
    at.bury(letter, Progress(origin=row[-12:]), f"CodecError: {message_of(error)}")
    return True
