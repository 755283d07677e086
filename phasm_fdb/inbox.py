"""The inbox: inputs that are stored now and applied, in order, by a worker."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgpack
from fdb.tuple import Versionstamp

from phasm_fdb.database.ranges import rows
from phasm_fdb.database.staged import Staged, encode_count
from phasm_fdb.keys import check_size, unpack
from phasm_fdb.keyspace import Keyspace, stamped_key
from phasm_fdb.outbox import TransactionStamps
from phasm_fdb.records import MAX_RECORD_BYTES

ONE = encode_count(1)


@dataclass(frozen=True, slots=True)
class Queued:
    """An inbox row.

    Attributes:
        key: the row itself.
        raw: the payload, undecoded: it may be of a type that only a newer version knows.
        at: when it was submitted or fell due, in milliseconds since the epoch.
        packed_request: its request id; None for an input that the machine sent itself.
        packed_key: its ordering key.
        failures: how often the machine has failed on it.
    """

    key: bytes
    raw: Any
    at: int
    packed_request: bytes | None
    packed_key: bytes | None
    failures: int = 0

    @property
    def request_id(self) -> Any:
        """The request id, or the row's versionstamp as a stand-in, which no other input has."""
        return self.key[-12:] if self.packed_request is None else unpack(self.packed_request)[0]


class Inbox:
    """The inputs of one layer that wait to be applied."""

    def __init__(self, keyspace: Keyspace) -> None:
        self._keys = keyspace

    def put(self, staged: Staged, stamps: TransactionStamps, lane: int, queued: Queued) -> None:
        """Append an input to a lane; the row's key comes from the commit, so that of `queued` does not matter."""
        row = self._keys.inbox_row(lane, Versionstamp.incomplete(stamps.next_user_version()))
        more = [queued.failures] if queued.failures else []
        value = msgpack.packb([queued.packed_request, queued.raw, queued.at, queued.packed_key, *more])
        staged.set_versionstamped_key(stamped_key(row), check_size(value, "the input", MAX_RECORD_BYTES))
        staged.add(self._keys.signal(lane), ONE)

    def head(self, reader: Any, lane: int, limit: int) -> Iterator[Queued]:
        """The first inputs of a lane, in order."""
        for key, value in rows(reader, *self._keys.inbox(lane), limit=limit):
            yield self.decode(key, value)

    @staticmethod
    def decode(key: bytes, value: bytes) -> Queued:
        """What an inbox row holds."""
        packed_request, raw, at, packed_key, *more = msgpack.unpackb(value, strict_map_key=False)
        return Queued(key, raw, at, packed_request, packed_key, *more)
