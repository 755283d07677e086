"""The inbox: inputs that are stored now and applied, in order, by a worker."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from fdb.tuple import Versionstamp

from phasm_fdb import plain
from phasm_fdb.database.ranges import Row, rows
from phasm_fdb.database.staged import encode_count
from phasm_fdb.errors import CodecError
from phasm_fdb.keys import check_size, unpack_element
from phasm_fdb.keyspace import Keyspace, stamped_key
from phasm_fdb.outbox import StampedWrites
from phasm_fdb.records import MAX_RECORD_BYTES, tag_of

ONE = encode_count(1)

NONE = type(None)
#: What an inbox row holds. Times were not checked when the first ones were written.
_QUEUED: tuple[plain.Kinds, ...] = ((bytes, NONE), None, (int, float), (bytes, NONE), (int,))

#: A row with a map of this name alone holds an untracked action for a worker's handler, and no input.
UNTRACKED = "$untracked"


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
    def untracked(self) -> Any:
        """The untracked action, undecoded, that is delivered to a worker's handler; None if it is an input."""
        return self.raw.get(UNTRACKED) if isinstance(self.raw, dict) else None

    @property
    def tag(self) -> str:
        """The type of what it holds, as the code that wrote it named it."""
        return tag_of(self.raw) if self.untracked is None else tag_of(self.untracked)

    @property
    def request_id(self) -> Any:
        """The request id, or the row's versionstamp as a stand-in, which no other input has."""
        return self.key[-12:] if self.packed_request is None else unpack_element(self.packed_request)


class Inbox:
    """The inputs of one layer that wait to be applied."""

    def __init__(self, keyspace: Keyspace) -> None:
        self._keys = keyspace

    def put(self, at: StampedWrites, lane: int, queued: Queued) -> None:
        """Append an input to a lane; the row's key comes from the commit, so that of `queued` does not matter."""
        row = self._keys.inbox_row(lane, Versionstamp.incomplete(at.stamps.next_user_version()))
        more = [queued.failures] if queued.failures else []
        value = plain.to_bytes([queued.packed_request, queued.raw, queued.at, queued.packed_key, *more])
        at.staged.set_versionstamped_key(stamped_key(row), check_size(value, "the input", MAX_RECORD_BYTES))
        at.staged.add(self._keys.signal(lane), ONE)

    def head(self, reader: Any, lane: int, limit: int) -> Iterator[Row]:
        """The first rows of a lane, in order."""
        return rows(reader, *self._keys.inbox(lane), limit=limit)

    @staticmethod
    def decode(key: bytes, value: bytes) -> Queued:
        """What an inbox row holds; raises a CodecError that names it if that is something else."""
        try:
            packed_request, raw, at, packed_key, *more = plain.list_from_bytes(value, _QUEUED, optional=1)
        except CodecError as error:
            raise error.at("an input", key) from error
        return Queued(key, raw, at, packed_request, packed_key, *more)
