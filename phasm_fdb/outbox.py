"""The outbox: pending tracked actions in commit order, stored by the transition that emits them.

Each action has an outbox row, keyed by its versionstamp within a lane; the row of its id, which can be read back in
the same transaction and shows a duplicate; and the location row, which finds the outbox row from the id. An id from
`actions.new_id()` contains the versionstamp and needs no location row.
"""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import msgpack
from fdb.tuple import Versionstamp

from phasm_fdb.actions import Tracked
from phasm_fdb.codec import Codec
from phasm_fdb.database.ranges import Row, rows
from phasm_fdb.database.staged import Staged, encode_count
from phasm_fdb.database.waiting import wait
from phasm_fdb.errors import CodecError, DuplicateAction, StaleCompletion
from phasm_fdb.keys import pack_element, unpack, versionstamp_offset
from phasm_fdb.keyspace import STAMP_BYTES, Keyspace, stamp_of, stamp_value, stamped_key

MAX_USER_VERSION = 2**16
ONE = encode_count(1)


class TransactionStamps:
    """What the layer keeps of one transaction: the numbers it gave out beside the versionstamp, and new actions.

    FoundationDB cannot read back what a transaction has versionstamped, so actions emitted earlier in the same
    transaction are remembered here.
    """

    def __init__(self) -> None:
        self._next = 0
        self.read_version: int | None = None
        self.emitted: dict[bytes, tuple[int, int, Tracked[Any]]] = {}

    def next_user_version(self) -> int:
        """The next free number beside this transaction's versionstamp.

        Raises:
            CodecError: all 65,536 are used.
        """
        if self._next == MAX_USER_VERSION:
            raise CodecError(f"one transaction can hold {MAX_USER_VERSION} versionstamped rows: use several")
        self._next += 1
        return self._next - 1

    @property
    def used(self) -> bool:
        """Whether any number was given out."""
        return self._next > 0


class StampsByTransaction:
    """The `TransactionStamps` of transactions that belong to the caller."""

    def __init__(self) -> None:
        self._stamps: WeakKeyDictionary[Any, TransactionStamps] = WeakKeyDictionary()

    def of(self, tr: Any) -> TransactionStamps:
        """What was kept of this transaction, unless it has been reset since.

        A retry runs on the same object. If the earlier run committed after all (1021), the new one reads at a later
        version; if it did not, the rows of its actions are not there, and what is kept of them has no effect.
        """
        stamps = self._stamps.setdefault(tr, TransactionStamps())
        version = wait(tr.get_read_version())
        if stamps.read_version != version:
            stamps = self._stamps[tr] = TransactionStamps()
            stamps.read_version = version
        return stamps


@dataclass(frozen=True, slots=True)
class Pending:
    """An outbox row: a pending action and where it lies."""

    lane: int
    stamp: Versionstamp
    tracked: Tracked[Any]


class Outbox:
    """The pending actions of one layer.

    Args:
        keyspace: the layer's keys.
        actions: the codec of the machine's `TrackedAction`.
    """

    def __init__(self, keyspace: Keyspace, actions: Codec[Any]) -> None:
        self._keys = keyspace
        self._actions = actions

    # -------------------------------------------------------------------------------------------- write

    def emit(self, staged: Staged, stamps: TransactionStamps, tracked: Tracked[Any], lanes: int) -> None:
        """Store an action as pending.

        Raises:
            DuplicateAction: its id is pending already.
            CodecError: its id or ordering key is no tuple-layer value.
        """
        packed = pack_element(tracked.id)
        minted = type(tracked.id) is Versionstamp and not tracked.id.is_complete()
        if not minted and versionstamp_offset(packed) is not None:
            raise CodecError(f"{tracked.id!r}: an id from new_id() is an id by itself, not part of one")
        id_row = self._keys.id_row(packed)
        if not minted and staged.read(id_row) is not None:
            raise DuplicateAction(tracked.id)
        number = tracked.id.user_version if minted else stamps.next_user_version()
        lane = self._lane(packed, tracked.ordering_key, lanes)
        record = msgpack.packb([lane, number, minted])
        if minted:
            staged.set_versionstamped_key(stamped_key(id_row), record)
        else:
            staged.set(id_row, record)
            staged.set_versionstamped_value(self._keys.location_row(packed), stamp_value())
        row = self._keys.outbox_row(lane, Versionstamp.incomplete(number))
        staged.set_versionstamped_key(stamped_key(row), self._encode(tracked, packed, minted))
        staged.add(self._keys.signal(lane), ONE)
        stamps.emitted[packed] = (lane, number, tracked)

    def remove(self, staged: Staged, stamps: TransactionStamps, id: Any) -> bool:
        """Take an action out, because it is completed or cancelled; False if it is not pending."""
        packed = pack_element(id)
        id_row = self._keys.id_row(packed)
        record = staged.read(id_row)
        if record is None:
            return False
        lane, number, minted = msgpack.unpackb(record)
        location_row = self._keys.location_row(packed)
        emitted = stamps.emitted.get(packed)
        if emitted is not None and emitted[:2] == (lane, number):
            # Its row gets its key at the commit and cannot be removed before: mark it as dead on arrival.
            mark = self._keys.stillborn_row(Versionstamp.incomplete(number))
            staged.set_versionstamped_key(stamped_key(mark), msgpack.packb(lane))
        else:
            stamp = id.tr_version if minted else staged.read(location_row)
            assert stamp is not None, f"the action {id!r} is pending, but not in the outbox"
            staged.clear(self._keys.outbox_row(lane, Versionstamp(stamp[:STAMP_BYTES], number)))
        staged.clear(id_row)
        if not minted:
            staged.clear(location_row)
        return True

    def require(self, staged: Staged, id: Any) -> None:
        """Raise StaleCompletion unless an action with this id is pending."""
        if staged.read(self._keys.id_row(pack_element(id))) is None:
            raise StaleCompletion(id)

    def bury(self, tr: Any, limit: int = 1000) -> None:
        """Remove outbox rows that were taken out in the transaction that wrote them, and their marks."""
        for mark, lane in list(rows(tr, *self._keys.stillborn(), limit=limit)):
            tr.clear(self._keys.outbox_row(msgpack.unpackb(lane), stamp_of(mark)))
            tr.clear(mark)

    def _lane(self, packed_id: bytes, ordering_key: Any, lanes: int) -> int:
        if lanes == 1:
            return 0
        spread_by = packed_id if ordering_key is None else pack_element(ordering_key)
        return int.from_bytes(hashlib.blake2b(spread_by, digest_size=4).digest(), "big") % lanes

    # --------------------------------------------------------------------------------------------- read

    def pending(self, tr: Any, lanes: int, stamps: TransactionStamps | None = None) -> Iterator[Pending]:
        """All pending actions in versionstamp order, as this transaction sees them.

        Those which the transaction itself emitted come last, with incomplete stamps.
        """
        emitted = stamps.emitted if stamps is not None else {}
        reader = tr if not emitted else self._committed(tr)
        stillborn = {stamp_of(row) for row, _ in rows(reader, *self._keys.stillborn())}
        lane_rows = [self._lane_rows(reader, lane) for lane in range(lanes)]
        for pending in heapq.merge(*lane_rows, key=lambda pending: pending.stamp):
            if pending.stamp not in stillborn and (not emitted or self._is_pending(tr, pending)):
                yield pending
        for packed, (lane, number, tracked) in emitted.items():
            record = wait(tr.get(self._keys.id_row(packed)))
            if record is not None and msgpack.unpackb(record)[:2] == [lane, number]:
                yield Pending(lane, Versionstamp.incomplete(number), tracked)

    def _committed(self, tr: Any) -> Any:
        """A second transaction at the same read version, since this one cannot read what it has versionstamped."""
        other = tr.db.create_transaction()
        other.set_read_version(wait(tr.get_read_version()))
        tr.add_read_conflict_range(self._keys.outbox, self._keys.outbox + b"\xff")
        return other

    def _is_pending(self, tr: Any, pending: Pending) -> bool:
        """Whether this transaction has not removed an action that was pending when it began."""
        return wait(tr.get(self._keys.id_row(pack_element(pending.tracked.id)))) is not None

    def _lane_rows(self, reader: Any, lane: int) -> Iterator[Pending]:
        for row in rows(reader, *self._keys.lane(lane)):
            yield self.decode(lane, row)

    def decode(self, lane: int, row: Row) -> Pending:
        """What an outbox row holds."""
        key, value = row
        stamp = stamp_of(key)
        packed_id, raw_action, packed_ordering = msgpack.unpackb(value, strict_map_key=False)
        id = stamp if packed_id is None else unpack(packed_id)[0]
        ordering_key = None if packed_ordering is None else unpack(packed_ordering)[0]
        return Pending(lane, stamp, Tracked(id, self._actions.from_raw(raw_action), ordering_key))

    def _encode(self, tracked: Tracked[Any], packed_id: bytes, minted: bool) -> bytes:
        ordering = None if tracked.ordering_key is None else pack_element(tracked.ordering_key)
        record = [None if minted else packed_id, self._actions.to_raw(tracked.action), ordering]
        return bytes(msgpack.packb(record))
