"""Dead letters: actions and inputs that were given up, kept with their cause until someone decides about them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import msgpack
from fdb.tuple import Versionstamp

from phasm_fdb.codec import Codec
from phasm_fdb.database.ranges import rows
from phasm_fdb.database.staged import Staged
from phasm_fdb.errors import CodecError, DuplicateAction
from phasm_fdb.inbox import Queued
from phasm_fdb.keys import unpack
from phasm_fdb.keyspace import stamp_of, stamped_key
from phasm_fdb.outbox import TransactionStamps, lane_of
from phasm_fdb.records import Progress, Record
from phasm_fdb.transition import Machinery

MAX_CAUSE = 2000


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """An action or input that was given up.

    Attributes:
        stamp: names it, for `Layer.requeue` and `Layer.discard`.
        kind: "action" or "input".
        id: the action's id, or the input's request id (None for an input that the machine sent itself).
        payload: the action or the input's payload; undecoded if this code does not know its type.
        ordering_key: its ordering key.
        attempts: how many attempts were made.
        cause: what the last failure was.
        at: when it was given up, in milliseconds since the epoch.
    """

    stamp: Versionstamp
    kind: Literal["action", "input"]
    id: Any
    payload: Any
    ordering_key: Any
    attempts: int
    cause: str
    at: int


def bury(
    machinery: Machinery,
    staged: Staged,
    stamps: TransactionStamps,
    record: Record,
    progress: Progress,
    cause: str,
    now_ms: int,
) -> None:
    """Write the dead letter of an action or input; its own rows are the caller's to remove.

    Args:
        record: with its id or request id filled in.
        progress: how many attempts were made, and where the action was first emitted.
    """
    row = machinery.keyspace.dead_row(Versionstamp.incomplete(stamps.next_user_version()))
    content = [
        *(record.packed_id, record.raw, record.packed_key, record.is_input),
        *(progress.attempts, progress.origin, cause[:MAX_CAUSE], now_ms),
    ]
    staged.set_versionstamped_key(stamped_key(row), msgpack.packb(content))


def dead_letters(machinery: Machinery, tr: Any) -> Iterator[DeadLetter]:
    """The dead letters, in the order they were given up."""
    for key, value in rows(tr, *machinery.keyspace.dead()):
        yield _decode(machinery, key, value)


def discard(machinery: Machinery, tr: Any, stamp: Versionstamp) -> bool:
    """Remove a dead letter; False if there is none of that stamp."""
    row = machinery.keyspace.dead_row(stamp)
    if Staged(tr).read(row) is None:
        return False
    tr.clear(row)
    return True


def requeue(machinery: Machinery, tr: Any, stamps: TransactionStamps, stamp: Versionstamp, now: float) -> bool:
    """Put a dead letter back where it came from, with its attempts starting anew; False if there is none.

    An action keeps its idempotency key.

    Raises:
        DuplicateAction: another action has its id by now.
    """
    staged = Staged(tr)
    row = machinery.keyspace.dead_row(stamp)
    value = staged.read(row)
    if value is None:
        return False
    packed_id, raw, packed_key, is_input, _, origin, _, _ = msgpack.unpackb(value, strict_map_key=False)
    lanes = machinery.meta.load(staged).lanes
    spread_by = packed_key if packed_key is not None else packed_id
    lane = 0 if spread_by is None else lane_of(spread_by, lanes)
    if is_input:
        machinery.inbox.put(staged, stamps, lane, Queued(b"", raw, int(now * 1000), packed_id, packed_key))
        if packed_id is not None:
            machinery.receipts.mark_queued(staged, machinery.receipts.for_request(unpack(packed_id)[0], now))
    else:
        if staged.read(machinery.keyspace.id_row(packed_id)) is not None:
            raise DuplicateAction(unpack(packed_id)[0])
        machinery.outbox.enter(staged, stamps, lane, Record(packed_id, raw, packed_key), Progress(origin=origin))
    staged.clear(row)
    staged.flush(tr)
    return True


def _decode(machinery: Machinery, key: bytes, value: bytes) -> DeadLetter:
    content = msgpack.unpackb(value, strict_map_key=False)
    packed_id, raw, packed_key, is_input, attempts, _, cause, at = content
    definition = machinery.definition
    codec: Codec[Any] = definition.inputs if is_input else definition.tracked
    try:
        payload = codec.from_raw(raw)
    except CodecError:
        payload = raw
    return DeadLetter(
        stamp_of(key),
        "input" if is_input else "action",
        None if packed_id is None else unpack(packed_id)[0],
        payload,
        None if packed_key is None else unpack(packed_key)[0],
        attempts,
        cause,
        at,
    )
