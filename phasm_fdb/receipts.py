"""Receipts: the record that an input was applied, with its outcome, so that repeating it changes nothing.

A receipt expires by two clocks, since neither alone will do: the writer's clock names the hour, and the database's
version shows that so much time has passed, however far ahead the clock of the process that sweeps may be. The receipt
of an input that waits, or lies in the dead letters, has no time to expire at: it gets one when that has ended.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from phasm_fdb import plain
from phasm_fdb.actions import Actions, Tracked, Untracked
from phasm_fdb.database.staged import Staged
from phasm_fdb.database.versions import VERSIONS_PER_SECOND
from phasm_fdb.definition import Definition
from phasm_fdb.errors import CodecError, InputFailed, InputRejected, OutcomeUnknown, shown
from phasm_fdb.keys import INCOMPLETE, check_size, is_incomplete, pack_element, unpack_element
from phasm_fdb.keyspace import STAMP_BYTES, Keyspace, stamp_value

#: MessagePack never begins a value with this byte: behind it lies the versionstamp that completes the ids.
STAMPED = b"\xc1"
#: Nor does an outcome, which is a list, begin with these: a submitted input waits, or was refused.
QUEUED = b"\xc0"
REFUSED = b"\xc2"
MAX_REASON = 2000
HOUR_SECONDS = 3600
#: The layer's own receipts are swept age by age; an age has about an hour.
VERSIONS_OF_AN_AGE = HOUR_SECONDS * VERSIONS_PER_SECOND
OFFSET_BYTES = 4

NONE = type(None)
#: What the receipt of an applied input holds: the reply, the tracked and untracked actions, and who called.
_OUTCOME: tuple[plain.Kinds, ...] = (None, (list,), (list,), (bytes,))
#: What it holds of a tracked action: its id, what it is, its ordering key, and when it is due.
_TRACKED: tuple[plain.Kinds, ...] = ((bytes,), None, (bytes, NONE), (int, float, NONE), (int, NONE))


@dataclass(frozen=True, slots=True)
class Applied:
    """The outcome of an input.

    Attributes:
        reply: what `stf` returned.
        tracked: the tracked actions that it emitted.
        untracked: the untracked actions that it emitted, for the caller to run after the commit. They are handed out
            once: a repeated input gives none.
        versionstamp: of the commit, ten bytes; None inside a caller's transaction, or where nothing needed it.
        repeated: the input had been applied before, and this is that outcome.
    """

    reply: Any = None
    tracked: tuple[Tracked[Any], ...] = ()
    untracked: tuple[Untracked[Any], ...] = ()
    versionstamp: bytes | None = None
    repeated: bool = False

    def completed(self, versionstamp: bytes) -> Applied:
        """The same with the ids from `new_id()` made complete, now that the commit's versionstamp is known."""
        tracked = tuple([action.completed(versionstamp) for action in self.tracked])
        return Applied(self.reply, tracked, self.untracked, versionstamp, self.repeated)


class Receipt(NamedTuple):
    """The key of a receipt, decided before the first attempt so that every attempt has the same.

    Attributes:
        key: its row.
        expiry: the row that says in which hour it expires; None for one of the layer's own, which go age by age.
        version: at which version it expires, or the age of one of the layer's own.
        caller: tells this call from others with the same request id.
    """

    key: bytes
    expiry: bytes | None
    version: int
    caller: bytes = b""


class Receipts:
    """The receipts of one layer.

    Args:
        ttl_seconds: how long a receipt is kept at least.
    """

    def __init__(self, keyspace: Keyspace, definition: Definition, ttl_seconds: float) -> None:
        self._keys = keyspace
        self._definition = definition
        self._ttl_seconds = ttl_seconds
        self._own = (-1, b"")

    def for_request(self, request_id: Any, now_seconds: float, version: int, caller: bytes = b"") -> Receipt:
        """Name the receipt of a caller's request id.

        Args:
            request_id: any tuple-layer value; raises a CodecError for others.
            version: a recent version of the database.
            caller: tells this call from others with the same request id.
        """
        key = self.key(request_id)
        hour = int((now_seconds + self._ttl_seconds) // HOUR_SECONDS) + 1
        expires = version + int(self._ttl_seconds * VERSIONS_PER_SECOND)
        return Receipt(key, self._keys.expiry(hour, key), expires, caller)

    def key(self, request_id: Any) -> bytes:
        """Give the row of a request id's receipt."""
        return self._keys.receipt(pack_element(request_id))

    def for_own(self, token: bytes, version: int) -> Receipt:
        """Name the receipt of an input without a request id: only the layer's own retries ask for it."""
        age, prefix = self._own
        if age != version // VERSIONS_OF_AN_AGE:
            age = version // VERSIONS_OF_AN_AGE
            prefix = self._keys.own_receipts_of(age)
            self._own = age, prefix
        return Receipt(prefix + pack_element(token), None, age)

    def find(self, staged: Staged, receipt: Receipt) -> Applied | None:
        """Find the outcome of an earlier call, or attempt of this one; None if the input was not applied yet.

        Raises:
            InputRejected, InputFailed: that was the outcome of a submitted input.
            OutcomeUnknown: there may have been a receipt of the layer's own, but it would be swept by now.
            CodecError: the row holds something else.
        """
        data = staged.read(receipt.key)
        if data is not None and data != QUEUED:
            try:
                return self._decode(data, receipt)
            except CodecError as error:
                raise error.at("the receipt of an input", receipt.key) from error
        if receipt.expiry is None and receipt.version < decode_age(staged.read(self._keys.own_receipts_swept)):
            raise OutcomeUnknown
        return None

    def mark_queued(self, staged: Staged, key: bytes) -> None:
        """Record in a receipt's row that the input waits in the inbox."""
        staged.set(key, QUEUED)

    def refuse(self, staged: Staged, receipt: Receipt, error: InputRejected | InputFailed) -> None:
        """Record that a submitted input was not applied, under its request id.

        One that failed lies in the dead letters: as long as it does, its receipt does not expire.
        """
        parts = [error.kind, error.reason] if isinstance(error, InputRejected) else [error.cause]
        staged.set(receipt.key, REFUSED + plain.to_bytes([part[:MAX_REASON] for part in parts]))
        if isinstance(error, InputRejected):
            self.expire(staged, receipt)

    def expire(self, staged: Staged, receipt: Receipt) -> None:
        """Let a receipt expire when its time has come, if it has one."""
        if receipt.expiry is not None:
            staged.set(receipt.expiry, encode_version(receipt.version))

    def write(self, staged: Staged, receipt: Receipt, reply: Any, actions: Actions) -> None:
        """Record an outcome.

        Raises:
            CodecError: the reply is not of the declared type, or the outcome is larger than one row.
        """
        data, is_stamped = self._encode(reply, actions, receipt.caller)
        check_size(data, "the receipt of an input, with its reply and actions,")
        if is_stamped:
            staged.set_versionstamped_value(receipt.key, stamp_value(data, prefix=STAMPED))
        else:
            staged.set(receipt.key, data)
        self.expire(staged, receipt)

    def _encode(self, reply: Any, actions: Actions, caller: bytes) -> tuple[bytes, bool]:
        """An outcome as it is stored, and whether it has ids that the commit's versionstamp completes.

        Untracked actions are kept for the caller alone, who may not have heard that the commit has happened.
        """
        is_stamped = False
        tracked, untracked = [], []
        for one, raw in actions.encoded:
            if isinstance(one, Tracked):
                tracked.append([pack_element(one.id), raw, _packed(one.ordering_key), *_due(one)])
                is_stamped = is_stamped or is_incomplete(one.id)
            elif isinstance(one, Untracked):
                untracked.append(raw)
        outcome = [self._definition.replies.to_raw(reply), tracked, untracked]
        if untracked and caller:
            outcome.append(caller)
        return plain.to_bytes(outcome), is_stamped

    def _decode(self, data: bytes, receipt: Receipt) -> Applied:
        if data.startswith(REFUSED):
            parts = _refusal(data)
            raise InputRejected(*parts) if len(parts) == 2 else InputFailed(*parts)
        versionstamp, data = split_stamp(data)
        raw_reply, raw_tracked, raw_untracked, *caller = plain.list_from_bytes(data, _OUTCOME, optional=1)
        definition = self._definition
        tracked = tuple(map(self._decode_tracked, raw_tracked))
        is_callers = receipt.expiry is None or caller == [receipt.caller]
        untracked = tuple(Untracked(definition.untracked.from_raw(raw)) for raw in raw_untracked if is_callers)
        applied = Applied(definition.replies.from_raw(raw_reply), tracked, untracked, repeated=True)
        return applied if versionstamp is None else applied.completed(versionstamp)

    def _decode_tracked(self, items: Any) -> Tracked[Any]:
        plain.check_list(items, _TRACKED, optional=2)
        packed_id, raw, packed_key, *due = items
        key = None if packed_key is None else unpack_element(packed_key)
        return Tracked(unpack_element(packed_id), self._definition.tracked.from_raw(raw), key, *due)


def _refusal(data: bytes) -> list[str]:
    """Why an input was refused: the kind and reason of a rejection, or the cause of a failure."""
    return plain.list_from_bytes(data[len(REFUSED) :], [(str,)] * 2, optional=1)


def is_failed(data: bytes | None) -> bool:
    """Whether a receipt says that its input lies in the dead letters."""
    return data is not None and data.startswith(REFUSED) and len(_refusal(data)) == 1


def is_open(data: bytes | None) -> bool:
    """Whether a receipt's input may still be applied: it is not there, waits, or lies in the dead letters."""
    return data is None or data == QUEUED or is_failed(data)


def actions_of(data: bytes) -> list[bytes]:
    """The packed ids of the tracked actions that an applied input emitted, from its receipt."""
    if data.startswith((QUEUED, REFUSED)):
        return []
    versionstamp, data = split_stamp(data)
    _, raw_tracked, *_ = plain.list_from_bytes(data, _OUTCOME, optional=1)
    for items in raw_tracked:
        plain.check_list(items, _TRACKED, optional=2)
    ids = [packed for packed, *_ in raw_tracked]
    if versionstamp is None:
        return ids
    return [pack_element(Tracked(unpack_element(packed), None).completed(versionstamp).id) for packed in ids]


def split_stamp(data: bytes) -> tuple[bytes | None, bytes]:
    """The versionstamp that completes the ids in a receipt, and the outcome; None for one that needs none.

    None too for a receipt that the same transaction wrote: it ends with the offset of the stamp that it will get.
    """
    if not data.startswith(STAMPED):
        return None, data
    versionstamp, data = data[1 : 1 + STAMP_BYTES], data[1 + STAMP_BYTES :]
    return (None, data[:-OFFSET_BYTES]) if versionstamp == INCOMPLETE else (versionstamp, data)


def encode_version(version: int) -> bytes:
    """A version as an expiry row holds it."""
    return version.to_bytes(8, "big")


def encode_age(age: int) -> bytes:
    """An age of the layer's own receipts as a row holds it."""
    return pack_element(age)


def decode_age(data: bytes | None) -> int:
    """The age that such a row holds; 0 if it is not there."""
    age = 0 if data is None else unpack_element(data)
    if type(age) is not int:
        raise CodecError(f"{shown(age)} is stored where the age of receipts belongs")
    return age


def _due(tracked: Tracked[Any]) -> tuple[()] | tuple[float | None, int | None]:
    return () if tracked.after is None and tracked.at is None else (tracked.after, tracked.at)


def _packed(ordering_key: Any) -> bytes | None:
    return None if ordering_key is None else pack_element(ordering_key)
