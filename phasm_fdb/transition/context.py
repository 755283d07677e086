"""The parts of a layer that stay the same from one transaction to the next."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from phasm_fdb.database.staged import Staged
from phasm_fdb.definition import Definition
from phasm_fdb.inbox import Inbox
from phasm_fdb.journal.journal import Journal
from phasm_fdb.keyspace import Keyspace
from phasm_fdb.meta import Meta
from phasm_fdb.outbox import Outbox, TransactionStamps
from phasm_fdb.receipts import Receipts
from phasm_fdb.state import State
from phasm_fdb.transition.decision import view_over
from phasm_fdb.transition.double_run import Verifier


@dataclass(frozen=True, slots=True)
class LayerContext:
    """The immutable parts of a layer, which every transaction of it needs.

    Attributes:
        checked: check the invariants before each commit.
        verifier: runs some transitions twice, if it is not None.
        watched: this process verifies, or wants a journal.
    """

    definition: Definition
    keyspace: Keyspace
    meta: Meta
    outbox: Outbox
    receipts: Receipts
    inbox: Inbox
    journal: Journal
    checked: bool
    verifier: Verifier | None
    watched: bool

    def state(self, reader: Any, large: Iterable[str], place: str) -> State:
        """The machine's state, to be read only.

        Args:
            reader: a transaction, or staged writes over one.
            large: the names of the fields that may hold large values, as the meta row has them.
            place: where it is read, for the error of a write.
        """
        staged = Staged(reader, read_only=place)
        return self.definition.state_class(view_over(staged, self.keyspace, large, TransactionStamps()))
