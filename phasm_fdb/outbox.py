"""The outbox: pending tracked actions in commit order, stored by the transition that emits them.

Each action has an outbox row, keyed by its versionstamp within a lane; the row of its id, which can be read back in
the same transaction and shows a duplicate; and the location row, which finds the outbox row from the id. An id from
`actions.new_id()` contains the versionstamp and needs no location row. What is due later lies among the timers
instead, until the worker that holds its lane moves it into the lane.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import heapq
import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Protocol
from weakref import WeakKeyDictionary

import msgpack
from fdb.tuple import Versionstamp

from phasm_fdb import plain
from phasm_fdb.actions import Later, Tracked, due_ms
from phasm_fdb.codec import Codec
from phasm_fdb.database.paging import PAGE_ROWS
from phasm_fdb.database.ranges import Row, rows
from phasm_fdb.database.remembering import OwnWrites
from phasm_fdb.database.staged import Staged, encode_count
from phasm_fdb.database.waiting import wait
from phasm_fdb.errors import CodecError, DuplicateAction, InputError, StaleCompletion
from phasm_fdb.keys import INCOMPLETE, check_size, is_incomplete, pack_element, pack_incomplete, versionstamp_offset
from phasm_fdb.keyspace import STAMP_BYTES, Keyspace, stamp_from, stamp_of, stamp_value, stamped_key
from phasm_fdb.records import MAX_RECORD_BYTES, Progress, Record, encode_record

MAX_USER_VERSION = 2**16
ONE = encode_count(1)

#: What an id row holds, and what the mark of a row that died in its own transaction does. A time may be a float: they
#: were not always checked.
_ID_ROW: tuple[plain.Kinds, ...] = ((int,), (int,), (bool,), (int, float, type(None)), (bool,), (bytes,))
_MARK: tuple[plain.Kinds, ...] = ((int,), (int, float, type(None)))


class TransactionStamps:
    """Gives out the numbers of one transaction's versionstamps, and lists the actions that it has emitted.

    Args:
        first: the first number to give out.

    Attributes:
        journaled: whether anything was appended to the journal.
        emitted: the tracked actions that were written to the transaction, by their packed ids. FoundationDB cannot list
            the rows that a transaction has versionstamped, so `pending` takes them from here.
        own_writes: what was written to the transaction, for the same reason.
    """

    def __init__(self, first: int = 0) -> None:
        self._next = first
        self._for_journal = 0
        self._versionstamp: Any = None
        self._read_version: int | None = None
        self.journaled = False
        self.emitted: dict[bytes, Tracked[Any]] = {}
        self.own_writes = OwnWrites()

    @classmethod
    def of_transaction(cls, tr: Any, read_version: int) -> TransactionStamps:
        """Begin to keep what is known of a transaction that others read, write and reset too."""
        stamps = cls()
        stamps._versionstamp = tr.get_versionstamp()
        stamps._read_version = read_version
        return stamps

    def holds(self, read_version: int) -> bool:
        """Tell whether a transaction with this read version still has the writes that this describes.

        A transaction that is reset, retried or committed ends the wait for its versionstamp. The read version alone
        would not tell: it is the same again where nothing else was committed.
        """
        return self._read_version == read_version and not self._versionstamp.is_ready()

    def remember(self, actions: Iterable[Tracked[Any]]) -> None:
        """Note tracked actions whose rows were written to the transaction."""
        for action in actions:
            self.emitted[pack_element(action.id)] = action

    def next_user_version(self) -> int:
        """The next free number beside this transaction's versionstamp.

        Raises:
            CodecError: all 65,536 are used.
        """
        if self._next == MAX_USER_VERSION:
            raise CodecError(f"one transaction can hold {MAX_USER_VERSION} versionstamped rows: use several")
        self._next += 1
        return self._next - 1

    def next_for_journal(self) -> int:
        """The next free number, for an entry of the journal: nothing that the caller gets holds it."""
        self._for_journal += 1
        return self.next_user_version()

    @property
    def count(self) -> int:
        """How many numbers were given out."""
        return self._next

    @property
    def used_by_machine(self) -> bool:
        """Whether any number was given out for the state or for an action, and not for the journal."""
        return self._next > self._for_journal

    @property
    def used(self) -> bool:
        """Whether any number was given out."""
        return self._next > 0


class StampedWrites(Protocol):
    """What is staged in a transaction, with what gives out the numbers beside its versionstamp."""

    @property
    def staged(self) -> Staged: ...

    @property
    def stamps(self) -> TransactionStamps: ...


class StampsByTransaction:
    """The `TransactionStamps` of transactions that belong to the caller, one for each keyspace that they use.

    Args:
        prefix: the keyspace; two Layer objects of the same one share its numbers.
    """

    _known: ClassVar[WeakKeyDictionary[Any, dict[bytes, TransactionStamps]]] = WeakKeyDictionary()

    def __init__(self, prefix: bytes) -> None:
        self._prefix = prefix

    def of(self, tr: Any) -> TransactionStamps:
        """What is kept of this transaction, from the beginning or from its last reset on."""
        version = wait(tr.get_read_version())
        by_prefix = self._known.setdefault(tr, {})
        stamps = by_prefix.get(self._prefix)
        if stamps is None or not stamps.holds(version):
            stamps = by_prefix[self._prefix] = TransactionStamps.of_transaction(tr, version)
        if stamps.used:
            # What was versionstamped makes everything of its prefix from the read version on unreadable (1036), and a
            # cluster's read version is often that of the last commit. With this, single keys can be read all the same.
            tr.options.set_bypass_unreadable()
        return stamps


class IdRow(NamedTuple):
    """What the row of an action's id says.

    Attributes:
        lane, number: of the action's row: its lane, and the number beside the versionstamp.
        minted: the id is that versionstamp.
        due: when it is due, in milliseconds since the epoch, while it lies among the timers.
        is_input: it is an input for later that has the id; older code did not say so.
        kept: under which versionstamp its result is kept, if the machine has failed on it.
    """

    lane: int
    number: int
    minted: bool
    due: int | None = None
    is_input: bool = False
    kept: bytes | None = None

    def encode(self) -> bytes:
        """The row's value."""
        if self.due is None and self.kept is None:
            return plain.to_bytes([self.lane, self.number, self.minted])
        kept = () if self.kept is None else (self.kept,)
        return plain.to_bytes([self.lane, self.number, self.minted, self.due, self.is_input, *kept])

    @classmethod
    def decode(cls, value: bytes) -> IdRow:
        """What a row says; raises a CodecError if that is something else."""
        return cls(*plain.list_from_bytes(value, _ID_ROW, optional=3))


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

    def emit(
        self,
        at: StampedWrites,
        action: Tracked[Any] | Later[Any],
        raw: Any,
        lanes: int,
        now_ms: int | None = None,
    ) -> None:
        """Store an action, or an input for later, as pending: in its lane, or as a timer if it is not due yet.

        Args:
            raw: what it holds, undecoded.
            now_ms: the time of the input that emits it.

        Raises:
            DuplicateAction: its id is pending already.
            CodecError: its id or ordering key is no tuple-layer value.
        """
        due, is_input = due_ms(action, now_ms), isinstance(action, Later)
        keys, staged, id = self._keys, at.staged, action.id
        packed = pack_element(id)
        minted = is_incomplete(id)
        id_row = keys.id_row(packed)
        if minted:
            number, packed_stamp = id.user_version, packed
        else:
            if versionstamp_offset(packed) is not None:
                raise CodecError(f"{id!r}: an id from new_id() is an id by itself, not part of one")
            if staged.read(id_row) is not None:
                raise DuplicateAction(id)
            number = at.stamps.next_user_version()
            packed_stamp = pack_incomplete(number)
        packed_key = None if action.ordering_key is None else pack_element(action.ordering_key)
        record = encode_record(None if minted else packed, raw, packed_key, is_input)
        if len(record) > MAX_RECORD_BYTES:
            check_size(record, f"the action {id!r}", MAX_RECORD_BYTES)
        # An id that is minted now is not known yet, and would put all such actions into one lane.
        lane = lane_of(packed_key or (record if minted else packed), lanes)
        place = IdRow(lane, number, minted, due, is_input).encode()
        if minted:
            staged.set_versionstamped_key(stamped_key(id_row), place)
        else:
            staged.set(id_row, place)
            staged.set_versionstamped_value(keys.location_row(packed), stamp_value())
        staged.set_versionstamped_key(stamped_key(self._row(lane, packed_stamp, due)), record)
        staged.add(keys.signal(lane), ONE)

    def enter(self, at: StampedWrites, lane: int, record: Record, progress: Progress) -> None:
        """Append an action to its lane anew: one that falls due, or comes back from the dead letters.

        Its row gets the versionstamp of this transaction, so that whoever follows the lane finds it at the end.
        """
        assert record.packed_id is not None, "an action keeps its id when its row moves"
        staged, number = at.staged, at.stamps.next_user_version()
        kept = progress.origin if progress.failures else None
        staged.set(self._keys.id_row(record.packed_id), IdRow(lane, number, False, kept=kept).encode())
        staged.set_versionstamped_value(self._keys.location_row(record.packed_id), stamp_value())
        stamp = Versionstamp.incomplete(number)
        plain = Record(record.packed_id, record.raw, record.packed_key)
        staged.set_versionstamped_key(stamped_key(self._keys.outbox_row(lane, stamp)), plain.encode())
        staged.set_versionstamped_key(stamped_key(self._keys.progress_row(lane, stamp)), progress.encode())
        staged.add(self._keys.signal(lane), ONE)

    def _row(self, lane: int, packed_stamp: bytes, due: int | None) -> bytes:
        keys = self._keys
        return (keys.lane_prefix(lane) if due is None else keys.due_prefix(lane, due)) + packed_stamp

    def remove(self, at: StampedWrites, id: Any) -> bool:
        """Take an action, or an input for later, out, because it is completed or cancelled; False if not pending.

        Raises:
            InputError: the id is from `new_id()` and gets its versionstamp only at the commit.
        """
        staged, packed = at.staged, self._packed(id)
        id_row = self._keys.id_row(packed)
        place = staged.read(id_row)
        if place is None:
            return False
        lane, number, minted, due, _, kept = IdRow.decode(place)
        location_row = self._keys.location_row(packed)
        location = id.tr_version if minted else staged.read(location_row)
        assert location is not None, f"the action {id!r} is pending, but not in the outbox"
        if location.startswith(INCOMPLETE):
            # This transaction wrote its row, which gets its key at the commit and cannot be removed before that.
            mark = self._keys.stillborn_row(Versionstamp.incomplete(number))
            staged.set_versionstamped_key(stamped_key(mark), msgpack.packb([lane, due]))
        else:
            stamp = stamp_from(location[:STAMP_BYTES], number)
            staged.clear(self._row(lane, pack_element(stamp), due))
            if due is None:
                staged.clear(self._keys.progress_row(lane, stamp))
        staged.clear(id_row)
        if not minted:
            staged.clear(location_row)
        if kept is not None:
            staged.clear_range(*self._keys.failure(kept))
        return True

    def require(self, staged: Staged, id: Any) -> None:
        """Raise StaleCompletion unless an action with this id is pending, and InputError as `remove` does."""
        packed = self._packed(id)
        place = staged.read(self._keys.id_row(packed))
        if place is None or self._is_input(staged, id, packed, place):
            raise StaleCompletion(id)

    def _is_input(self, staged: Staged, id: Any, packed: bytes, place: bytes) -> bool:
        """Whether it is an input for later that has this id, and not an action."""
        lane, number, minted, due, is_input, _ = IdRow.decode(place)
        if due is None or is_input:
            return due is not None
        # Older code left it to the timer's row to say.
        location = id.tr_version if minted else staged.read(self._keys.location_row(packed))
        assert location is not None, f"the action {id!r} is pending, but not in the outbox"
        stamp = stamp_from(location[:STAMP_BYTES], number)
        timer = staged.read(self._row(lane, pack_element(stamp), due))
        return timer is not None and Record.decode(timer).is_input

    @staticmethod
    def _packed(id: Any) -> bytes:
        if is_incomplete(id):
            raise InputError(
                f"{id!r} is an id from new_id() that is not known before the commit: complete or cancel the action in "
                "a later transaction, by the id that Applied.tracked or pending() gives then"
            )
        return pack_element(id)

    def bury(self, tr: Any, limit: int = 1000) -> int:
        """Remove rows that were taken out in the transaction that wrote them, and their marks; returns how many.

        A mark that does not decode stays: it hides a row that must not come alive.
        """
        buried = 0
        for mark, place in list(rows(tr, *self._keys.stillborn(), limit=limit)):
            with contextlib.suppress(CodecError):
                lane, due = plain.list_from_bytes(place, _MARK)
                tr.clear(self._row(lane, pack_element(stamp_of(mark)), due))
                tr.clear(mark)
                buried += 1
        return buried

    # --------------------------------------------------------------------------------------------- read

    def pending(self, tr: Any, lanes: int, stamps: TransactionStamps | None = None) -> Iterator[Tracked[Any]]:
        """All pending actions in versionstamp order, as this transaction sees them; also those not due yet.

        Those which the transaction itself emitted come last.
        """
        if stamps is None or not stamps.used:
            return self._all(tr, lanes)
        seen = Staged(tr)
        committed = self._all(self._committed(tr), lanes)
        kept = (one for one in committed if self._is_action(seen, one.id) and not self._is_its_own(seen, one.id))
        own = (one for one in stamps.emitted.values() if is_incomplete(one.id) or self._is_its_own(seen, one.id))
        return itertools.chain(kept, own)

    def _all(self, reader: Any, lanes: int) -> Iterator[Tracked[Any]]:
        """The pending actions of all lanes in versionstamp order."""
        stillborn = self.stillborn(reader)
        lane_rows = [self._lane_rows(reader, lane) for lane in range(lanes)]  # all first batches are in flight
        timer_rows = [self._timer_rows(reader, lane) for lane in range(lanes)]
        for pending in heapq.merge(*lane_rows, *timer_rows, key=lambda pending: pending.stamp):
            if pending.stamp not in stillborn:
                yield pending.tracked

    def page(
        self, tr: Any, lanes: int, after: Versionstamp | None, limit: int = PAGE_ROWS
    ) -> tuple[list[Pending], Versionstamp | None]:
        """Some pending actions behind a versionstamp, in order, without those that wait for their time.

        Args:
            limit: about how many to read.

        Returns:
            The actions, and the versionstamp to go on behind; None at the end.
        """
        each = max(limit // lanes, 10)
        stillborn = self.stillborn(tr)
        spans = [self._keys.lane(lane) for lane in range(lanes)]
        if after is not None:
            spans = [(self._keys.outbox_row(lane, after) + b"\0", end) for lane, (_, end) in enumerate(spans)]
        reads = [rows(tr, begin, end, limit=each) for begin, end in spans]
        found = [[self.decode(lane, row) for row in read] for lane, read in enumerate(reads)]
        # A lane that was not read to its end may have more right behind its last row: nothing beyond that is in order.
        horizon = min((some[-1].stamp for some in found if len(some) == each), default=None)
        in_order = heapq.merge(*found, key=lambda pending: pending.stamp)
        page = [one for one in in_order if (horizon is None or not horizon < one.stamp) and one.stamp not in stillborn]
        return page, horizon

    def timers_page(self, tr: Any, after: bytes | None, limit: int = PAGE_ROWS) -> tuple[list[Pending], bytes | None]:
        """Some of the actions that wait for their time, behind a row, and the row to go on behind; None at the end."""
        begin, end = self._keys.all_timers, self._keys.all_timers + b"\xff"
        found = list(rows(tr, begin if after is None else after + b"\0", end, limit=limit))
        stillborn = self.stillborn(tr)
        waiting = [one for row in found if (one := self._timer(row)) is not None and one.stamp not in stillborn]
        return waiting, found[-1][0] if len(found) == limit else None

    def stillborn(self, reader: Any) -> set[Versionstamp]:
        """The stamps of rows that died in the transaction that wrote them; nearly always empty."""
        stamps = set()
        for row, _ in rows(reader, *self._keys.stillborn()):
            with contextlib.suppress(CodecError):
                stamps.add(stamp_of(row))
        return stamps

    def _committed(self, tr: Any) -> Any:
        """A second transaction at the same read version, since this one cannot read what it has versionstamped."""
        other = tr.db.create_transaction()
        other.set_read_version(wait(tr.get_read_version()))
        tr.add_read_conflict_range(self._keys.outbox, self._keys.outbox + b"\xff")
        return other

    def _is_action(self, seen: Staged, id: Any) -> bool:
        """Whether a transaction sees an action pending under an id."""
        place = seen.read(self._keys.id_row(pack_element(id)))
        return place is not None and not IdRow.decode(place).is_input

    def _is_its_own(self, seen: Staged, id: Any) -> bool:
        """Whether a transaction wrote the action that it sees pending under an id, not one from `new_id()`."""
        location = seen.read(self._keys.location_row(pack_element(id)))
        return location is not None and location.startswith(INCOMPLETE) and self._is_action(seen, id)

    def _lane_rows(self, reader: Any, lane: int) -> Iterator[Pending]:
        return map(functools.partial(self.decode, lane), rows(reader, *self._keys.lane(lane)))

    def _timer_rows(self, reader: Any, lane: int) -> list[Pending]:
        found = [one for row in rows(reader, *self._keys.timers(lane)) if (one := self._timer(row)) is not None]
        return sorted(found, key=lambda pending: pending.stamp)

    def _timer(self, row: Row) -> Pending | None:
        """The action that a timer row holds; None if it holds an input."""
        key, value = row
        record = Record.decode(value, key)
        if record.is_input:
            return None
        # An action that waits for its next attempt was not emitted for later: it shows as it was emitted.
        lane, due = self._keys.timer_of(key)
        return self._pending(lane, key, record, due if record.progress is None else None)

    def decode(self, lane: int, row: Row) -> Pending:
        """What an outbox row holds."""
        key, value = row
        return self._pending(lane, key, Record.decode(value, key), None)

    def _pending(self, lane: int, row: bytes, record: Record, due: int | None) -> Pending:
        stamp = stamp_of(row)
        try:
            action = self._actions.from_raw(record.raw)
            return Pending(lane, stamp, Tracked(record.id(stamp), action, record.ordering_key, at=due))
        except CodecError as error:
            raise error.at("a pending action", row) from error


def lane_of(spread_by: bytes, lanes: int) -> int:
    """The lane of a packed ordering key, or of a packed id where there is no key."""
    if lanes == 1:
        return 0
    return int.from_bytes(hashlib.blake2b(spread_by, digest_size=4).digest(), "big") % lanes
