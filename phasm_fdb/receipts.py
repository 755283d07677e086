"""Receipts: the record that an input was applied, with its outcome, so that repeating it changes nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import msgpack

from phasm_fdb.actions import Actions, Tracked, Untracked
from phasm_fdb.database.staged import Staged
from phasm_fdb.definition import Definition
from phasm_fdb.errors import InputFailed, InputRejected
from phasm_fdb.keys import check_size, is_incomplete, pack_element, unpack
from phasm_fdb.keyspace import STAMP_BYTES, Keyspace, stamp_value

#: MessagePack never begins a value with this byte: behind it lies the versionstamp that completes the ids.
STAMPED = b"\xc1"
#: Nor does an outcome, which is a list, begin with these: a submitted input waits, or was refused.
QUEUED = b"\xc0"
REFUSED = b"\xc2"
MAX_REASON = 2000
HOUR_SECONDS = 3600


@dataclass(frozen=True, slots=True)
class Applied:
    """The outcome of an input.

    Attributes:
        reply: what `stf` returned.
        tracked: the tracked actions that it emitted.
        untracked: the untracked actions that it emitted; the caller runs them, after the commit.
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
        expiry: the row that says when it expires; None for one of the layer's own, which go hour by hour.
    """

    key: bytes
    expiry: bytes | None


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

    def for_request(self, request_id: Any, now_seconds: float) -> Receipt:
        """The receipt of a caller's request id, which is any tuple-layer value; raises a CodecError otherwise."""
        key = self._keys.receipt(pack_element(request_id))
        hour = int((now_seconds + self._ttl_seconds) // HOUR_SECONDS) + 1
        return Receipt(key, self._keys.expiry(hour, key))

    def for_own(self, token: bytes, now_seconds: float) -> Receipt:
        """The receipt of an input without a request id: only the layer's own retries ask for it."""
        hour, prefix = self._own
        if hour != now_seconds // HOUR_SECONDS:
            hour = int(now_seconds // HOUR_SECONDS)
            prefix = self._keys.own_receipts_of(hour)
            self._own = hour, prefix
        return Receipt(prefix + pack_element(token), None)

    def find(self, staged: Staged, key: bytes) -> Applied | None:
        """The outcome recorded under a receipt's key; None if the input was not applied yet.

        Raises:
            InputRejected, InputFailed: that was the outcome of a submitted input.
        """
        data = staged.read(key)
        if data is None or data == QUEUED:
            return None
        return self._decode(data)

    def mark_queued(self, staged: Staged, receipt: Receipt) -> None:
        """Record that the input waits in the inbox."""
        staged.set(receipt.key, QUEUED)

    def refuse(self, staged: Staged, receipt: Receipt, error: InputRejected | InputFailed) -> None:
        """Record that a submitted input was not applied and never will be, under its request id."""
        parts = [error.kind, error.reason] if isinstance(error, InputRejected) else [error.cause]
        staged.set(receipt.key, REFUSED + msgpack.packb([part[:MAX_REASON] for part in parts]))
        if receipt.expiry is not None:
            staged.set(receipt.expiry, b"")

    def write(self, staged: Staged, receipt: Receipt, reply: Any, actions: Actions) -> None:
        """Record an outcome.

        Raises:
            CodecError: the reply is not of the declared type, or the outcome is larger than one row.
        """
        data, is_stamped = self._encode(reply, actions)
        check_size(data, "the receipt of an input, with its reply and actions,")
        if is_stamped:
            staged.set_versionstamped_value(receipt.key, stamp_value(data, prefix=STAMPED))
        else:
            staged.set(receipt.key, data)
        if receipt.expiry is not None:
            staged.set(receipt.expiry, b"")

    def _encode(self, reply: Any, actions: Actions) -> tuple[bytes, bool]:
        """An outcome as it is stored, and whether it has ids that the commit's versionstamp completes."""
        is_stamped = False
        tracked, untracked = [], []
        for one, raw in actions.encoded:
            if isinstance(one, Tracked):
                tracked.append([pack_element(one.id), raw, _packed(one.ordering_key), *_due(one)])
                is_stamped = is_stamped or is_incomplete(one.id)
            elif isinstance(one, Untracked):
                untracked.append(raw)
        return msgpack.packb([self._definition.replies.to_raw(reply), tracked, untracked]), is_stamped

    def _decode(self, data: bytes) -> Applied:
        versionstamp = None
        if data.startswith(REFUSED):
            parts = msgpack.unpackb(data[len(REFUSED) :])
            raise InputRejected(*parts) if len(parts) == 2 else InputFailed(*parts)
        if data.startswith(STAMPED):
            versionstamp, data = data[1 : 1 + STAMP_BYTES], data[1 + STAMP_BYTES :]
        raw_reply, raw_tracked, raw_untracked = msgpack.unpackb(data, strict_map_key=False)
        definition = self._definition
        tracked = tuple(
            Tracked(unpack(id)[0], definition.tracked.from_raw(raw), None if key is None else unpack(key)[0], *due)
            for id, raw, key, *due in raw_tracked
        )
        untracked = tuple(Untracked(definition.untracked.from_raw(raw)) for raw in raw_untracked)
        applied = Applied(definition.replies.from_raw(raw_reply), tracked, untracked, repeated=True)
        return applied if versionstamp is None else applied.completed(versionstamp)


def _due(tracked: Tracked[Any]) -> tuple[()] | tuple[float | None, int | None]:
    return () if tracked.after is None and tracked.at is None else (tracked.after, tracked.at)


def _packed(ordering_key: Any) -> bytes | None:
    return None if ordering_key is None else pack_element(ordering_key)
