"""Taking a lane over: what its last worker may have started is in doubt, and the machine says how to go on."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from phasm_fdb.actions import Actions, Tracked
from phasm_fdb.errors import CodecError
from phasm_fdb.keys import check_size, pack_element
from phasm_fdb.keyspace import stamp_of
from phasm_fdb.lease import Lease
from phasm_fdb.records import Progress, Record
from phasm_fdb.runtime.worker_transaction import WorkerTransaction
from phasm_fdb.transition.context import LayerContext

Row = tuple[bytes, Progress]


def take_over(at: WorkerTransaction, lease: Lease) -> int:
    """Resolve what is in doubt in a lane, before anything of it is started.

    For an id that the machine's `restore` emits, its action is run in place of the original one; an id that it
    leaves out runs as it was; an id that only it knows becomes pending. `restore` reads a snapshot: it may not
    conflict with all that goes on, and what it decides about an action is dropped if that is gone meanwhile.

    Returns:
        How many actions were in doubt.

    Raises:
        StaleLease: the lane is lost already.
        RestoreError: the machine cannot resume.
    """
    at.fence(lease)
    doubtful = list(_doubtful(at.staged.rows(*at.context.keyspace.progress(lease.lane))))
    if not doubtful:
        return 0
    at.load_meta()
    resumed = _restored(at)
    for row in doubtful:
        _resolve(at, lease.lane, row, resumed)
    _add_unknown(at, resumed)
    at.flush()
    return len(doubtful)


def _doubtful(rows: Iterator[tuple[bytes, bytes]]) -> Iterator[Row]:
    """The actions that were started and not settled; rows that do not decode are found when their lane is read."""
    for key, value in rows:
        with contextlib.suppress(CodecError):
            progress = Progress.decode(value, key)
            stamp_of(key)
            if progress.running:
                yield key, progress


def _restored(at: WorkerTransaction) -> dict[bytes, Tracked[Any]]:
    """What the machine's `restore` emits, by packed id."""
    definition = at.context.definition
    emitted = Actions(definition.machine.max_actions, definition.encode_action)
    definition.restore(at.context.state(at.tr.snapshot, at.meta.large, "restore"), emitted)
    return {pack_element(action.id): action for action in emitted.tracked}


def _resolve(at: WorkerTransaction, lane: int, row: Row, resumed: dict[bytes, Tracked[Any]]) -> None:
    """Let one action in doubt run again, as it was or as `restore` wants it."""
    (key, progress), context, staged = row, at.context, at.staged
    stamp = stamp_of(key)
    content = staged.read(context.keyspace.outbox_row(lane, stamp))
    if content is None:
        staged.clear(key)
        return
    try:
        record = Record.decode(content)
        id = record.id(stamp)
    except CodecError:
        return  # it is found when the lane is read
    action = resumed.get(record.packed(stamp))
    raw = record.raw if action is None else context.definition.tracked.to_raw(action.action)
    instead = None if raw in (record.raw, _as_written_now(context, record.raw)) else raw
    if instead != progress.instead:
        # Another call than the one that was under way: its attempts are counted anew.
        progress = replace(progress, attempts=0)
    encoded = replace(progress, running=False, instead=instead).encode()
    staged.set(key, check_size(encoded, f"the action that restore puts in place of {id!r}"))


def _as_written_now(context: LayerContext, raw: Any) -> Any:
    """An action as this code stores it: older code stored the fields that have their default too."""
    codec = context.definition.tracked
    try:
        return codec.to_raw(codec.from_raw(raw))
    except CodecError:
        return raw


def _add_unknown(at: WorkerTransaction, resumed: dict[bytes, Tracked[Any]]) -> None:
    """Make pending what only the machine's state knows."""
    context, staged = at.context, at.staged
    staged.read_many([context.keyspace.id_row(packed) for packed in resumed])
    for packed, action in resumed.items():
        if staged.read(context.keyspace.id_row(packed)) is None:
            raw = context.definition.tracked.to_raw(action.action)
            context.outbox.emit(at, action, raw, at.meta.lanes, at.now_ms)
