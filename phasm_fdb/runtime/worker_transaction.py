"""One attempt of a worker at a transaction."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from phasm_fdb.dead_letters import GivenUp, bury, bury_row
from phasm_fdb.errors import CodecError, StaleLease
from phasm_fdb.lease import Lease
from phasm_fdb.machine import Input
from phasm_fdb.receipts import Applied, Receipt
from phasm_fdb.records import Progress, Record
from phasm_fdb.transition.context import LayerContext
from phasm_fdb.transition.layer_transaction import LayerTransaction


class WorkerTransaction(LayerTransaction):
    """What a worker does in one transaction: many things, all staged together and flushed at once.

    Args:
        now: the time that it goes by, in seconds since the epoch; the same for every attempt.
    """

    __slots__ = ("now",)

    def __init__(self, context: LayerContext, tr: Any, now: float) -> None:
        super().__init__(context, tr)
        self.now = now

    @property
    def now_ms(self) -> int:
        """The same in milliseconds."""
        return int(self.now * 1000)

    def share(self) -> None:
        """Read the meta row, and write as all others do that apply inputs: exclusively, where anybody has a cache."""
        self.staged.exclusive = self.load_meta().cached

    def apply(self, input: Input, receipt: Receipt | None = None, check_receipt: bool = False) -> Applied:
        """Apply one input among others: what it raises leaves nothing of it behind, and all of the others."""
        return LayerTransaction(self.context, self.staged, self.stamps).apply(input, receipt, check_receipt)

    # ---------------------------------------------------------------------------------------------- leases

    def fence(self, lease: Lease) -> None:
        """Raise StaleLease unless `lease` still holds its lane, and make the transaction conflict with its loss."""
        if not lease.holds(self.context.keyspace, self.staged):
            raise StaleLease(lease.lane, lease.token)

    def stale_among(self, leases: Iterable[Lease]) -> set[Lease]:
        """Those of the leases that hold their lanes no more; the transaction conflicts with the loss of the others."""
        return {lease for lease in leases if not lease.holds(self.context.keyspace, self.staged)}

    # --------------------------------------------------------------------------------------- dead letters

    def bury(self, record: Record, progress: Progress, cause: str, failure: bytes = b"") -> None:
        """Write the dead letter of an action or input, as `dead_letters.bury` does, at the time of this transaction."""
        bury(self, GivenUp(record, progress, cause, self.now_ms, failure))

    def bury_row(self, row: bytes, error: CodecError) -> None:
        """Move a row that does not decode to the dead letters, as it is; nothing is done if it is not there."""
        bury_row(self, row, error, self.now_ms)
