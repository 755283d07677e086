"""Changing the number of lanes of a layer that has pending work.

The wish is written down; workers that see it finish what they run, give their lanes back and take none. When no lane
is held any more the new number goes into the meta row, from where every transition takes it; then the rows that lie
in other lanes now are moved there under their own versionstamps, and the wish is removed. So an ordering key is in
one lane at any time, and nothing of it runs while its rows move.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from phasm_fdb import plain
from phasm_fdb.database.ranges import Row, rows
from phasm_fdb.database.staged import Staged, encode_count
from phasm_fdb.database.transactional import run
from phasm_fdb.errors import CodecError, shown
from phasm_fdb.inbox import Inbox
from phasm_fdb.keys import pack_element, unpack
from phasm_fdb.keyspace import stamp_of
from phasm_fdb.lease import decode_holding, encode_holding
from phasm_fdb.meta import MOST_LANES
from phasm_fdb.outbox import IdRow, lane_of
from phasm_fdb.records import Record
from phasm_fdb.transition.context import LayerContext

BATCH = 500
ONE = encode_count(1)

#: Moves one row to its lane, given in which it is; does nothing if that is the one.
Move = Callable[[Any, int, Row], None]


def request(context: LayerContext, tr: Any, lanes: int) -> bool:
    """Write down that the layer is to have this many lanes; False if it has, and nothing else is wished."""
    staged = Staged(tr)
    if context.meta.load(staged).lanes == lanes and wish(context, tr) is None:
        return False
    staged.set(context.keyspace.resize, plain.to_bytes(lanes))
    staged.flush(tr)
    return True


def wish(context: LayerContext, tr: Any) -> int | None:
    """How many lanes the layer is to have; None if it is not being resized."""
    data = Staged(tr).read(context.keyspace.resize)
    if data is None:
        return None
    lanes = plain.from_bytes(data)
    if type(lanes) is not int or not 1 <= lanes <= MOST_LANES:
        raise CodecError(f"{shown(lanes)} is no number of lanes").at("a wish", context.keyspace.resize)
    return lanes


def carry_out(context: LayerContext, db: Any) -> bool:
    """Do what is wished, unless a live worker still holds a lane; whether it is done.

    Several processes may do it at once; interrupted, it goes on with the next call.
    """
    lanes = run(db, lambda tr: _switch(context, tr))
    if lanes is None:
        return run(db, lambda tr: wish(context, tr)) is None
    # A row that died in its transaction has a mark that names its lane: moved, it would come alive.
    while run(db, context.outbox.bury):
        pass
    keys, mover = context.keyspace, _Mover(context, lanes)
    for prefix, move in ((keys.outbox, mover.action), (keys.all_inbox, mover.input), (keys.all_timers, mover.timer)):
        mover.move_all(db, prefix, move)
    run(db, lambda tr: _finish(context, tr, lanes))
    return True


def _switch(context: LayerContext, tr: Any) -> int | None:
    """Make the wished number the one that counts; None if there is no wish, or a lane is still held."""
    lanes = wish(context, tr)
    if lanes is None:
        return None
    keys = context.keyspace
    alive = set()
    for key, _ in rows(tr, *keys.workers()):
        with contextlib.suppress(CodecError):
            alive.add(keys.session_of(key))
    leases = [(row, *decode_holding(value)) for row, value in rows(tr, *keys.leases())]
    if any(owner in alive for _, _, owner in leases):
        return None
    staged = Staged(tr)
    for row, token, owner in leases:
        if owner is not None:
            # Its holder is dead, or was taken for dead and may go on any time: it is to find its lane lost.
            staged.set(row, encode_holding(token, None))
    stored = context.meta.load(staged)
    if stored.lanes != lanes:
        context.meta.write(staged, replace(stored, lanes=lanes))
    staged.flush(tr)
    return lanes


def _finish(context: LayerContext, tr: Any, lanes: int) -> None:
    if wish(context, tr) == lanes:
        tr.clear(context.keyspace.resize)
    for lane in range(lanes):
        tr.add(context.keyspace.signal(lane), ONE)


@dataclass(frozen=True, slots=True)
class _Mover:
    """Moves the rows of a keyspace to the lanes in which they belong, a batch a transaction.

    Attributes:
        lanes: how many lanes there are now.
    """

    context: LayerContext
    lanes: int

    def move_all(self, db: Any, prefix: bytes, move: Move) -> None:
        """Move all rows that begin with a prefix, behind which their lane follows."""
        start: bytes | None = prefix
        while start is not None:
            start = run(db, functools.partial(self._batch, prefix, start, move))

    def _batch(self, prefix: bytes, start: bytes, move: Move, tr: Any) -> bytes | None:
        """Move the rows of one batch; the key at which the next one starts, or None after the last."""
        if wish(self.context, tr) != self.lanes:  # somebody wished for another number meanwhile, or finished this one
            return None
        batch = list(rows(tr, start, prefix + b"\xff", limit=BATCH))
        for row in batch:
            with contextlib.suppress(CodecError):  # of a key that is none of a layer
                lane = int(unpack(row[0][len(prefix) :])[0])
                try:
                    move(tr, lane, row)
                except CodecError:
                    self._move_unread(tr, prefix, lane, row)
        return batch[-1][0] + b"\0" if len(batch) == BATCH else None

    def _move_unread(self, tr: Any, prefix: bytes, lane: int, row: Row) -> None:
        """Move a row that does not decode to some lane, as it is, where a worker finds it."""
        key, value = row
        tr.clear(key)
        tr.set(prefix + pack_element(lane_of(value, self.lanes)) + key[len(prefix) + len(pack_element(lane)) :], value)

    def action(self, tr: Any, lane: int, row: Row) -> None:
        key, value = row
        keys, stamp = self.context.keyspace, stamp_of(key)
        record = Record.decode(value, key)
        target = self._lane(record, value)
        if target == lane:
            return
        tr.clear(key)
        tr.set(keys.outbox_row(target, stamp), value)
        progress_row = keys.progress_row(lane, stamp)
        progress = Staged(tr).read(progress_row)
        if progress is not None:
            tr.clear(progress_row)
            tr.set(keys.progress_row(target, stamp), progress)
        self._move_id(tr, record.packed(stamp), target)

    def timer(self, tr: Any, lane: int, row: Row) -> None:
        key, value = row
        keys, record = self.context.keyspace, Record.decode(value, key)
        target = self._lane(record, value)
        if target == lane:
            return
        tr.clear(key)
        tr.set(keys.timer_row(target, keys.timer_of(key)[1], stamp_of(key)), value)
        self._move_id(tr, record.packed(stamp_of(key)), target)

    def input(self, tr: Any, lane: int, row: Row) -> None:
        key, value = row
        queued = Inbox.decode(key, value)
        target = lane_of(queued.packed_key or queued.packed_request or value, self.lanes)
        if target != lane:
            tr.clear(key)
            tr.set(self.context.keyspace.inbox_row(target, stamp_of(key)), value)

    def _lane(self, record: Record, value: bytes) -> int:
        return lane_of(record.packed_key or record.packed_id or value, self.lanes)

    def _move_id(self, tr: Any, packed_id: bytes, lane: int) -> None:
        """Note in the row of an id that its action lies in another lane."""
        id_row = self.context.keyspace.id_row(packed_id)
        place = Staged(tr).read(id_row)
        if place is None:  # the row died in the transaction that wrote it, and is only not swept yet
            return
        with contextlib.suppress(CodecError):  # whoever settles the action mends it
            IdRow.decode(place)
            _, *rest = plain.from_bytes(place)
            tr.set(id_row, plain.to_bytes([lane, *rest]))
