"""Deciding an input where more is wanted than its decision: a second run, an entry in the journal, or both."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from phasm_fdb.actions import Actions
from phasm_fdb.database.staged import Staged
from phasm_fdb.deciding import Input, decide
from phasm_fdb.effects import Outcome, Refusal, effects_of
from phasm_fdb.errors import TransitionError
from phasm_fdb.meta import Stored
from phasm_fdb.outbox import TransactionStamps

if TYPE_CHECKING:
    from phasm_fdb.transition import LayerContext


def decide_with_safeguards(
    context: LayerContext,
    base: Any,
    reader: Any,
    staged: Staged,
    stored: Stored,
    large: set[str],
    stamps: TransactionStamps,
    input: Input,
) -> tuple[Any, Actions, Stored]:
    """`decide`, verified and journaled as the layer and its keyspace say; also the meta as it is then.

    Args:
        base: where an input that is refused is journaled.
        reader: what `staged` reads through.

    Raises:
        NondeterminismError: a second run decided something else. And whatever `stf` raises.
    """
    definition, keyspace = context.definition, context.keyspace
    journaled = stored.journal or context.journal.wanted
    verifier = context.verifier
    if verifier is not None and not verifier.chooses(input):
        verifier = None
    if not journaled and verifier is None:
        return *decide(definition, keyspace, staged, large, stamps, input), stored
    record = context.journal.record(reader, stored, stamps, input) if journaled else None
    number = stamps.count
    rejection: TransitionError | None = None
    try:
        reply, actions = decide(definition, keyspace, staged, large, stamps, input)
    except TransitionError as error:
        rejection = error
        outcome: Outcome = Refusal.of(error)
    else:
        outcome = effects_of(definition, keyspace, staged, reply, actions)
    if verifier is not None:
        verifier.verify(reader, set(stored.large), number, input, outcome)
    if isinstance(outcome, Refusal):
        assert rejection is not None
        if record is not None:
            record.refused(base, outcome)
        raise rejection
    if record is not None:
        stored = record.applied(staged, outcome)
    return reply, actions, stored
