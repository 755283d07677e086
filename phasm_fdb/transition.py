"""One input, one transition: everything that an input does, staged over a transaction and flushed as one.

The order is the design's: find the receipt, refuse a stale completion, run `stf` on the staged state, check,
store the actions, remove the completed one, write the receipt. Whatever raises on the way leaves nothing behind.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

from phasm_fdb.actions import Actions, Untracked
from phasm_fdb.cache import CachedReader
from phasm_fdb.database.staged import Staged
from phasm_fdb.deciding import Input, decide, space_of
from phasm_fdb.definition import Definition
from phasm_fdb.describing import changes_of
from phasm_fdb.errors import InvariantViolation
from phasm_fdb.inbox import Inbox
from phasm_fdb.journal.journal import Journal
from phasm_fdb.keyspace import Keyspace
from phasm_fdb.machine import TrackedActionCompleted
from phasm_fdb.meta import Meta, Stored
from phasm_fdb.outbox import Outbox, TransactionStamps
from phasm_fdb.receipts import Applied, Receipt, Receipts
from phasm_fdb.safeguards import decide_with_safeguards
from phasm_fdb.state import Changes
from phasm_fdb.verification import Verifier

__all__ = ["Input", "LayerContext", "transition", "view_of"]

#: The reply, the actions, the meta row as it is then, and the fields that may hold large values then.
_Decided: TypeAlias = tuple[Any, Actions, Stored, set[str]]

#: How many changes an invariant's violation names in its notes.
MOST_NOTED = 20


@dataclass(frozen=True, slots=True)
class LayerContext:
    """The immutable parts of a layer, which every transition needs.

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


def transition(
    context: LayerContext,
    base: Any,
    stamps: TransactionStamps,
    input: Input,
    receipt: Receipt | None,
    may_be_repeated: bool,
    cached: CachedReader | None = None,
) -> Applied:
    """Apply one input in a transaction, which the caller commits.

    Args:
        base: the transaction, or a `Staged` over it that several inputs share.
        stamps: what is kept of that transaction.
        receipt: where the outcome is recorded; None to record nothing.
        may_be_repeated: look for an earlier outcome there first.
        cached: reads this transaction through a cache.

    Raises:
        StaleCompletion, TransitionError, InvariantViolation, NondeterminismError, or whatever `stf` raises; nothing is
        written then, except that a TransitionError is written to the journal, where there is one.
    """
    staged = Staged(base if cached is None else cached)
    if cached is None and not context.watched:
        guess = context.meta.guess(staged)
        if guess is not None and not guess.journal:
            applied = _speculate(context, base, staged, guess, stamps, input, receipt, may_be_repeated)
            if applied is not None:
                return applied
            staged = Staged(base)
    stored = context.meta.load(staged)
    if receipt is not None and may_be_repeated:
        earlier = context.receipts.find(staged, receipt)
        if earlier is not None:
            return earlier
    decided = _decided(context, base, staged, stored, stamps, input, cached)
    applied = _recorded(context, staged, decided, receipt, cached is not None)
    staged.flush(base)
    if cached is not None:
        cached.wrote(staged.written())
    return applied


def _speculate(
    context: LayerContext,
    base: Any,
    staged: Staged,
    stored: Stored,
    stamps: TransactionStamps,
    input: Input,
    receipt: Receipt | None,
    may_be_repeated: bool,
) -> Applied | None:
    """Decide while the meta row and the receipt are on their way, as if they were as expected; None if they are not.

    This saves a round trip to the database. Nothing is written, and nothing is raised, before they are known.

    Args:
        staged: where the meta row is on its way.
        stored: what that row was the last time.
    """
    sought = receipt if may_be_repeated else None
    if sought is not None:
        staged.start(sought.key)
    decided: _Decided | Exception
    try:
        decided = _decided(context, base, staged, stored, stamps, input, None)
    except Exception as error:
        decided = error
    if not context.meta.is_still(stored, staged):
        return None
    earlier = None if sought is None else context.receipts.find(staged, sought)
    if earlier is not None:
        return earlier
    if isinstance(decided, Exception):
        try:
            raise decided
        finally:
            del decided  # or it and this frame would hold each other, and the transaction with them
    applied = _recorded(context, staged, decided, receipt, False)
    staged.flush(base)
    return applied


def _decided(
    context: LayerContext,
    base: Any,
    staged: Staged,
    stored: Stored,
    stamps: TransactionStamps,
    input: Input,
    cached: CachedReader | None,
) -> _Decided:
    """Decide an input that was not applied yet, with everything that follows from it staged."""
    staged.exclusive = stored.cached
    if isinstance(input, TrackedActionCompleted):
        context.outbox.require(staged, input.id)
    definition = context.definition
    reader = base if cached is None else cached
    large = set(stored.large)
    if context.watched or stored.journal:
        reply, actions, stored = decide_with_safeguards(context, base, reader, staged, stored, large, stamps, input)
    else:
        reply, actions = decide(definition, context.keyspace, staged, large, stamps, input)
    if context.checked:
        _check(context, reader, staged, large, input)
        if isinstance(input, TrackedActionCompleted):
            _require_trace(context, staged, input, actions)
    if isinstance(input, TrackedActionCompleted):
        context.outbox.remove(staged, stamps, input.id)
    if not actions.is_empty:
        _store_actions(context, staged, stamps, actions, stored.lanes, input.at)
    return reply, actions, stored, large


def _recorded(
    context: LayerContext, staged: Staged, decided: _Decided, receipt: Receipt | None, cached: bool
) -> Applied:
    """Stage what the keyspace keeps of a decision beside its effects: its receipt, and that it is as it is now."""
    reply, actions, stored, large = decided
    context.meta.note(staged, stored, large, cached)
    if receipt is not None:
        context.receipts.write(staged, receipt, reply, actions)
    return Applied(reply, actions.tracked, actions.untracked)


def _store_actions(
    context: LayerContext, staged: Staged, stamps: TransactionStamps, actions: Actions, lanes: int, now_ms: int | None
) -> None:
    """Take the cancelled actions out of the outbox, and put the new ones in."""
    outbox = context.outbox
    for id in actions.cancelled:
        outbox.remove(staged, stamps, id)
    for action, raw in actions.encoded:
        if not isinstance(action, Untracked):
            outbox.emit(staged, stamps, action, raw, lanes, now_ms)


def _check(context: LayerContext, reader: Any, staged: Staged, large: set[str], input: Input) -> None:
    """Check the invariants on the staged state; a violation holds the input and what it would have changed."""
    definition, keyspace = context.definition, context.keyspace
    changes = Changes(definition.state_class.fields, keyspace.state, staged)
    try:
        definition.check_changes(view_of(context, staged, large, "check_changes"), changes, input)
    except InvariantViolation as violation:
        violation.difference = changes_of(definition, keyspace, reader, staged)
        violation.add_note(f"after {input!r}, which would have changed")
        for change in violation.difference[:MOST_NOTED]:
            violation.add_note(f"  {change}")
        if len(violation.difference) > MOST_NOTED:
            violation.add_note(f"  and {len(violation.difference) - MOST_NOTED} more")
        raise


def _require_trace(context: LayerContext, staged: Staged, input: TrackedActionCompleted[Any], actions: Actions) -> None:
    """A result that changes neither the state nor what is pending was forgotten (PHASM's invariant 8)."""
    if actions.tracked or actions.delayed or actions.cancelled:
        return
    if not Changes(context.definition.state_class.fields, context.keyspace.state, staged):
        raise InvariantViolation(
            f"result {input.result!r} of action {input.id!r} changes neither the state nor what is pending; it must "
            "update the state (PHASM's invariant 8)",
            input=input,
        )


def view_of(context: LayerContext, base: Any, large: set[str], place: str) -> Any:
    """The machine's state over a transaction or a staged view, to be read only; `place` is where, for errors."""
    staged = Staged(base, read_only=place)
    return context.definition.state_class(space_of(context.keyspace, staged, large, TransactionStamps()))
