"""Where everything of a layer lies under its subspace. Other modules ask here; none spells a key itself.

    ("m",)                         what wrote this keyspace: format, machine, schema, lanes
    ("s", field, *key)             the state
    ("b", field, *key) 0xff n      part n of a value too large for one row
    ("a", lane, stamp)             outbox: a pending tracked action, in order within its lane
    ("n", lane, stamp)             how far the attempts at the action of an outbox row have come
    ("t", lane, due, stamp)        a timer: an action or input that enters its lane when it is due (milliseconds)
    ("q", lane, stamp)             inbox: an input that waits to be applied, in order within its lane
    ("d", stamp)                   dead letter: an action or input that was given up, with the cause
    ("y", is input, id)            how many dead letters have this id of an action, or request id of an input
    ("y",)                         there is such a row for every dead letter
    ("f", stamp, n)                part n of what is kept of a failure: a result that was not applied, and why
    ("i", id)                      id of a pending action -> its lane and number
    ("v", id)                      id of a pending action -> the versionstamp of its outbox row
    ("g", lane)                    counts what came into the lane: workers watch it
    ("x", stamp)                   a row that died in the transaction that wrote it -> its lane, and when it is due
    ("r", hash, request id)        receipt of an applied input
    ("e", hour, hash, request id)  when a receipt expires
    ("l", lane)                    lease: the fencing token of a lane, and which worker holds it
    ("w", session)                 a live worker: its heartbeat, its name, and what it can run
    ("c", type, slot)              a taken slot of an action type's concurrency limit
    ("k", type, shard)             a token bucket of an action type's rate limit
    ("z",)                         how many lanes `resize` asked for, until that is done
    ("o", age, token)              receipt of an input without a request id, for the layer's own retries
    ("oz",)                        those of all ages before this one are swept
    ("u", hour, token)             such a receipt as versions before 0.2 wrote it
    ("j", stamp)                   journal: an input that was decided, with a digest of its effects
    ("j", stamp) n                 part n of an entry too large for one row
    ("jn",)                        how many entries the journal ever had, and the sum of their checksums
    ("js", version)                a snapshot of the state at this version is complete, and has so many parts
    ("js", version, n)             part n of a snapshot

A `stamp` is FoundationDB's versionstamp: ten bytes of commit order and two bytes of order within the transaction.
Receipts are spread by a hash, so that request ids which grow do not make one hot shard; the outbox by its lanes.
"""

from __future__ import annotations

import zlib
from typing import Any

from fdb.tuple import Versionstamp

from phasm_fdb.errors import CodecError, DatabaseError, shown
from phasm_fdb.keys import (
    INCOMPLETE,
    MAX_KEY_BYTES,
    VERSIONSTAMP_CODE,
    after_prefix,
    pack,
    pack_element,
    pack_incomplete,
    unpack,
)

STAMP_BYTES = 10
HASH_BUCKETS = 256
#: What a float begins with in a key, and what comes behind all of them. All ints lie before them.
FLOAT_CODE, AFTER_FLOATS = b"\x20", b"\x22"
#: An id is part of several rows' keys: the longest is by less than this longer than the one that is checked.
ID_MARGIN = 16


class Keyspace:
    """The keys of one layer.

    Args:
        subspace: an `fdb.Subspace`, a directory, or anything else with `pack`; a tuple stands for `Subspace(tuple)`.
    """

    def __init__(self, subspace: Any) -> None:
        if isinstance(subspace, tuple):
            self.prefix = pack(subspace)
        elif hasattr(subspace, "pack"):
            self.prefix = bytes(subspace.pack(()))
        else:
            raise DatabaseError(f"{subspace!r} is not a subspace: pass Subspace((name,)), a directory, or a tuple")
        if not self.prefix:
            raise DatabaseError("the subspace is the whole database: give the layer one of its own, Subspace((name,))")
        self.end = after_prefix(self.prefix)
        self.meta = self._under("m")
        self.state = self._under("s")
        self.overflow = self._under("b")
        self.outbox = self._under("a")
        self._ids = self._under("i")
        self._locations = self._under("v")
        self._signals = self._under("g")
        self.all_progress = self._under("n")
        self.all_timers = self._under("t")
        self.all_inbox = self._under("q")
        self._dead = self._under("d")
        self._failures = self._under("f")
        self._leases = self._under("l")
        self._workers = self._under("w")
        self._slots = self._under("c")
        self._buckets = self._under("k")
        self.resize = self._under("z")
        self._stillborn = self._under("x")
        self._receipts = self._under("r")
        self._expiries = self._under("e")
        self._own_receipts = self._under("o")
        self.own_receipts_swept = self._under("oz")
        self._hourly_receipts = self._under("u")
        self.dead_ids = self._under("y")
        self.journal = self._under("j")
        self.journal_sum = self._under("jn")
        self._snapshots = self._under("js")

    def _under(self, name: str) -> bytes:
        return self.prefix + pack_element(name)

    def ancestors(self) -> list[bytes]:
        """The meta keys of the subspaces that this one lies in, where the prefix is a packed tuple."""
        try:
            from fdb.tuple import unpack

            elements = unpack(self.prefix)
        except Exception:  # a directory's prefix is not a tuple, and nothing can lie above it
            return []
        return [pack((*elements[:size], "m")) for size in range(len(elements))]

    # -------------------------------------------------------------------------------------------- outbox

    def lane(self, lane: int) -> tuple[bytes, bytes]:
        """The range of a lane's outbox rows."""
        begin = self.lane_prefix(lane)
        return begin, begin + b"\xff"

    def lane_prefix(self, lane: int) -> bytes:
        """What a lane's outbox rows begin with; their stamps follow."""
        return self.outbox + pack_element(lane)

    def outbox_row(self, lane: int, stamp: Versionstamp) -> bytes:
        """The row of a pending action; with an incomplete stamp, what `set_versionstamped_key` completes."""
        return self.lane_prefix(lane) + pack_element(stamp)

    def id_row(self, packed_id: bytes) -> bytes:
        """The row of a pending action's id; raises a CodecError if FoundationDB takes no key of that length."""
        row = self._ids + packed_id
        if len(row) > MAX_KEY_BYTES - ID_MARGIN:
            raise _too_long("the id of an action", row)
        return row

    def location_row(self, packed_id: bytes) -> bytes:
        return self._locations + packed_id

    def progress_row(self, lane: int, stamp: Versionstamp) -> bytes:
        return self.all_progress + pack_element(lane) + pack_element(stamp)

    def progress_of(self, outbox_row: bytes) -> bytes:
        """The row that says how far the attempts at the action of an outbox row have come."""
        return self.all_progress + outbox_row[len(self.outbox) :]

    def progress(self, lane: int) -> tuple[bytes, bytes]:
        """The range of a lane's progress rows."""
        begin = self.all_progress + pack_element(lane)
        return begin, begin + b"\xff"

    def due_prefix(self, lane: int, due: int) -> bytes:
        """What those timers of a lane begin with that are due at `due` (milliseconds); their stamps follow."""
        return self.all_timers + pack_element(lane) + pack_element(due)

    def timer_row(self, lane: int, due: int, stamp: Versionstamp) -> bytes:
        return self.due_prefix(lane, due) + pack_element(stamp)

    def timers(self, lane: int, before: int | None = None) -> tuple[bytes, bytes]:
        """The range of a lane's timers that are due before `before` (milliseconds), or of all."""
        begin = self.all_timers + pack_element(lane)
        return begin, begin + (b"\xff" if before is None else pack_element(before))

    def float_timers(self, lane: int) -> tuple[bytes, bytes]:
        """The range of a lane's timers that are due at a float: older code took times that it should have refused."""
        begin = self.all_timers + pack_element(lane)
        return begin + FLOAT_CODE, begin + AFTER_FLOATS

    def timer_of(self, timer_row: bytes) -> tuple[int, int]:
        """The lane of a timer and when it is due (milliseconds), from its row."""
        lane, due, _ = _elements(timer_row, self.all_timers, (int, int | float, Versionstamp))
        return lane, due

    def inbox_row(self, lane: int, stamp: Versionstamp) -> bytes:
        return self.all_inbox + pack_element(lane) + pack_element(stamp)

    def inbox(self, lane: int) -> tuple[bytes, bytes]:
        """The range of a lane's inbox rows."""
        begin = self.all_inbox + pack_element(lane)
        return begin, begin + b"\xff"

    def check_inbox_row(self, row: bytes) -> None:
        """Raise a CodecError if a row of the inbox is too short to end with a versionstamp."""
        if len(row) < len(self.all_inbox) + 14:
            raise CodecError(f"the key {shown(row)} is none of a layer: it has no versionstamp")

    def lane_of_input(self, inbox_row: bytes) -> int:
        """The lane of an inbox row."""
        return int(unpack(inbox_row[len(self.all_inbox) :])[0])

    def signal(self, lane: int) -> bytes:
        """The row that grows with everything that comes into a lane."""
        return self._signals + pack_element(lane)

    def stillborn_row(self, stamp: Versionstamp) -> bytes:
        return self._stillborn + pack_element(stamp)

    def stillborn(self) -> tuple[bytes, bytes]:
        """The range of all marks of stillborn outbox rows; nearly always empty."""
        return self._stillborn, self._stillborn + b"\xff"

    # ----------------------------------------------------------------------------------------- workers

    def dead_row(self, stamp: Versionstamp) -> bytes:
        return self._dead + pack_element(stamp)

    def dead(self) -> tuple[bytes, bytes]:
        """The range of the dead letters."""
        return self._dead, self._dead + b"\xff"

    def dead_id(self, is_input: bool, packed_id: bytes) -> bytes:
        """The row that counts the dead letters of an action's id, or of an input's request id."""
        return self.dead_ids + pack_element(is_input) + packed_id

    def failure(self, stamp: bytes) -> tuple[bytes, bytes]:
        """The range of what is kept of a failure, by the versionstamp (12 bytes) of what could not be applied."""
        begin = self._failures + pack_element(stamp)
        return begin, begin + b"\xff"

    def failure_part(self, stamp: bytes, part: int) -> bytes:
        return self._failures + pack_element(stamp) + pack_element(part)

    def lease(self, lane: int) -> bytes:
        return self._leases + pack_element(lane)

    def leases(self) -> tuple[bytes, bytes]:
        """The range of the leases of all lanes."""
        return self._leases, self._leases + b"\xff"

    def lane_of(self, lease: bytes) -> int:
        """The lane that a lease row is about."""
        return int(_elements(lease, self._leases, (int,))[0])

    def worker(self, session: bytes) -> bytes:
        return self._workers + pack_element(session)

    def workers(self) -> tuple[bytes, bytes]:
        """The range of the rows of all live workers."""
        return self._workers, self._workers + b"\xff"

    def session_of(self, worker: bytes) -> bytes:
        """The session that a worker's row is about."""
        return bytes(_elements(worker, self._workers, (bytes,))[0])

    def slot(self, action_type: str, slot: int) -> bytes:
        return self._slots + pack_element(action_type) + pack_element(slot)

    def slots(self, action_type: str) -> tuple[bytes, bytes]:
        """The range of the taken slots of an action type."""
        begin = self._slots + pack_element(action_type)
        return begin, begin + b"\xff"

    def bucket(self, action_type: str, shard: int) -> bytes:
        return self._buckets + pack_element(action_type) + pack_element(shard)

    # ------------------------------------------------------------------------------------------ receipts

    def receipt(self, packed_request_id: bytes) -> bytes:
        """The row of a request id's receipt; raises a CodecError if FoundationDB takes no key of that length."""
        row = self._receipts + _bucket(packed_request_id) + packed_request_id
        if len(row) > MAX_KEY_BYTES - ID_MARGIN:
            raise _too_long("the request id", row)
        return row

    def expiry(self, hour: int, receipt: bytes) -> bytes:
        """The row that says in which hour a receipt expires."""
        return self._expiries + pack_element(hour) + receipt[len(self._receipts) :]

    def expired(self, hour: int) -> tuple[bytes, bytes]:
        """The range of the expiries of all hours before `hour`."""
        return self._expiries, self._expiries + pack_element(hour)

    def request_of(self, receipt: bytes) -> bytes:
        """The packed request id that a receipt is about."""
        begin = len(self._receipts)
        return receipt[begin + (1 if receipt[begin] == _BUCKETS[0][0] else 2) :]

    def receipt_of(self, expiry: bytes, hour_bytes: int) -> bytes:
        """The receipt that an expiry row is about."""
        return self._receipts + expiry[len(self._expiries) + hour_bytes :]

    def own_receipts_of(self, age: int) -> bytes:
        """What the receipts of inputs without a request id from this age begin with; their tokens follow."""
        return self._own_receipts + pack_element(age)

    def own_receipts_before(self, age: int) -> tuple[bytes, bytes]:
        """The range of the receipts of inputs without a request id from all ages before `age`."""
        return self._own_receipts, self._own_receipts + pack_element(age)

    def hourly_receipts_before(self, hour: int) -> tuple[bytes, bytes]:
        """The range of such receipts as versions before 0.2 wrote them, from all hours before `hour`."""
        return self._hourly_receipts, self._hourly_receipts + pack_element(hour)

    # ------------------------------------------------------------------------------------------- journal

    def journal_row(self, number: int, part: int = 0) -> bytes:
        """The row of a new journal entry, or of a part of it, as `set_versionstamped_key` takes it."""
        row = self.journal + pack_incomplete(number)
        suffix = pack_element(part) if part else b""
        return row + suffix + (len(row) - 12).to_bytes(4, "little")

    def journal_stamp(self, row: bytes) -> bytes:
        """The versionstamp (12 bytes) of a journal entry, from any of its rows."""
        return row[len(self.journal) + 1 : len(self.journal) + 13]

    def journal_from(self, version: int) -> bytes:
        """Where the entries begin that were committed at this version or later."""
        return self.journal + VERSIONSTAMP_CODE + version.to_bytes(8, "big")

    def snapshot(self, version: int) -> bytes:
        return self._snapshots + pack_element(version)

    def snapshot_part(self, version: int, part: int) -> bytes:
        return self.snapshot(version) + pack_element(part)

    def snapshots(self) -> tuple[bytes, bytes]:
        """The range of all snapshots and their parts."""
        return self._snapshots, self._snapshots + b"\xff"

    def snapshot_of(self, row: bytes) -> tuple[int, bool]:
        """The version of a snapshot's row, and whether it is the one that says that the snapshot is complete."""
        complete = len(unpack(row[len(self._snapshots) :])) == 1
        return int(_elements(row, self._snapshots, (int,) if complete else (int, int))[0]), complete


def _elements(row: bytes, prefix: bytes, kinds: tuple[Any, ...]) -> tuple[Any, ...]:
    """The elements of a row's key behind a prefix; raises a CodecError unless they are of these types."""
    elements = unpack(row[len(prefix) :])
    if len(elements) != len(kinds) or not all(map(isinstance, elements, kinds)):
        raise CodecError(f"the key {shown(row)} is none of a layer: its elements are {shown(elements)}")
    return elements


def _too_long(what: str, row: bytes) -> CodecError:
    return CodecError(
        f"{what} makes a key of {len(row)} bytes, and FoundationDB takes {MAX_KEY_BYTES}: pass a shorter one, or a hash"
    )


def _bucket(packed_request_id: bytes) -> bytes:
    return _BUCKETS[zlib.crc32(packed_request_id) % HASH_BUCKETS]


_BUCKETS = [pack_element(number) for number in range(HASH_BUCKETS)]


def stamp_of(row: bytes) -> Versionstamp:
    """The versionstamp that a row's key ends with; raises a CodecError if it is too short to."""
    return stamp_from(row[-12:-2], int.from_bytes(row[-2:], "big"))


def stamp_from(commit: bytes, number: int) -> Versionstamp:
    """The versionstamp of a commit (ten bytes) and a number within it; raises a CodecError if they make none."""
    try:
        return Versionstamp(commit, number)
    except ValueError as error:
        raise CodecError(f"{commit!r} and {number} are no versionstamp: {error}") from None


def stamped_key(row: bytes) -> bytes:
    """A row whose key ends with an incomplete versionstamp, as `set_versionstamped_key` takes it."""
    return row + (len(row) - 12).to_bytes(4, "little")


def stamp_value(suffix: bytes = b"", prefix: bytes = b"") -> bytes:
    """A value that holds the commit's versionstamp, as `set_versionstamped_value` takes it."""
    return prefix + INCOMPLETE + suffix + len(prefix).to_bytes(4, "little")
