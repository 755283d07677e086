"""The double run: an input is decided a second time on the same state, and has to lead to the same.

It catches what cannot be seen in one run: clocks, chance, the order of a set, and what a machine keeps in itself
(PHASM's invariants 2, 4 and 9).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

from phasm_fdb.database.staged import Staged
from phasm_fdb.database.transactional import error_code
from phasm_fdb.definition import Definition
from phasm_fdb.describing import differences
from phasm_fdb.effects import Effects, Outcome, Refusal
from phasm_fdb.errors import DatabaseError, NondeterminismError, TransitionError
from phasm_fdb.keys import pack_element
from phasm_fdb.keyspace import Keyspace
from phasm_fdb.machine import Input, TrackedActionCompleted
from phasm_fdb.outbox import TransactionStamps
from phasm_fdb.transition.decision import decide, view_over

_PERSON = b"phasm verify"


class Verifier:
    """Runs a share of the transitions twice.

    Args:
        fraction: which share, from 0 to 1.
    """

    def __init__(self, definition: Definition, keyspace: Keyspace, fraction: float) -> None:
        self._definition = definition
        self._keyspace = keyspace
        self._threshold = round(fraction * 2**64)

    def chooses(self, input: Input) -> bool:
        """Whether an input is run twice: decided by its request id or action id, so a retry is treated the same."""
        id = input.id if isinstance(input, TrackedActionCompleted) else input.request_id
        digest = hashlib.blake2b(pack_element(id), digest_size=8, person=_PERSON).digest()
        return int.from_bytes(digest, "big") < self._threshold

    def verify(self, reader: Any, large: Iterable[str], number: int, input: Input, first: Outcome) -> None:
        """Decide an input again.

        Args:
            reader: what the first run read through, and has not written to.
            large: the fields that may have held large values before.
            number: the first one that `new_id` gave out then.
            first: the outcome of the first run.

        Raises:
            NondeterminismError: the outcome is another one.
            DatabaseError: as the database says.
        """
        try:
            second = self._run(reader, large, TransactionStamps(number), input)
        except Exception as error:
            if isinstance(error, DatabaseError) or error_code(error) is not None:
                raise  # it says nothing about the machine, and most of them are to be tried again
            raise NondeterminismError(
                f"{self._definition.name}.stf ran twice on the same state and {input!r}, and the second time it "
                f"failed: {type(error).__name__}: {error}"
            ) from error
        if second != first:
            raise NondeterminismError(self._message(input, first, second))

    def _run(self, reader: Any, large: Iterable[str], stamps: TransactionStamps, input: Input) -> Outcome:
        view = view_over(Staged(reader), self._keyspace, large, stamps)
        try:
            decision = decide(self._definition, view, input)
        except TransitionError as rejection:
            return Refusal.of(rejection)
        return decision.effects(self._definition, self._keyspace)

    def _message(self, input: Input, first: Outcome, second: Outcome) -> str:
        whole = (first.reply, first.actions, first.writes) if isinstance(first, Effects) else first.summary()
        one, two = differences(self._definition, whole, second)
        return (
            f"{self._definition.name}.stf ran twice on the same state and {input!r}, and decided two things; it must "
            "depend on nothing but those (PHASM's invariants 2, 4 and 9). Nothing was written.\n"
            + "\n".join([*(f"  first:  {line}" for line in one), *(f"  second: {line}" for line in two)])
        )
