"""One pending action in the memory of the worker that holds its lane."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from fdb.tuple import Versionstamp

from phasm_fdb.lease import Lease
from phasm_fdb.records import Progress, Record


@dataclass(slots=True, eq=False)
class Work:
    """An action to run.

    The action itself is not kept: the transaction that starts it reads its row anyway, since it may be gone.

    Attributes:
        lease: under which its lane is held.
        row: its outbox row.
        stamp: the row's versionstamp.
        packed_id: the action's id.
        tag: its type, as the code that wrote it named it.
        packed_key: its ordering key.
        progress: how far the attempts have come.
        record, id, action: its content, filled in when it is started.
        slot: the row of the slot of its type's concurrency limit, while it has one.
    """

    lease: Lease
    row: bytes
    stamp: Versionstamp
    packed_id: bytes
    tag: str
    packed_key: bytes | None
    progress: Progress
    record: Record | None = field(default=None, repr=False)
    id: Any = None
    action: Any = None
    slot: bytes | None = None

    @property
    def lane(self) -> int:
        return self.lease.lane

    @property
    def since(self) -> Versionstamp:
        """The versionstamp from which on the action waits: when it came into its lane, or was emitted if it failed."""
        return self.origin if self.progress.attempts else self.stamp

    @property
    def origin(self) -> Versionstamp:
        """The versionstamp at which the action was emitted, wherever its row is now."""
        origin = self.progress.origin
        return Versionstamp(origin[:-2], int.from_bytes(origin[-2:], "big")) if origin else self.stamp

    @property
    def origin_bytes(self) -> bytes:
        """The same as bytes."""
        return self.progress.origin or self.row[-12:]
