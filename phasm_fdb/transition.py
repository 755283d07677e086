"""One input, one transition: everything that an input does, staged over a transaction and flushed as one.

The order is the design's: find the receipt, refuse a stale completion, run `stf` on the staged state, check,
store the actions, remove the completed one, write the receipt. Whatever raises on the way leaves nothing behind.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from phasm_fdb.actions import Actions
from phasm_fdb.cache import CachedReader
from phasm_fdb.database.staged import Staged
from phasm_fdb.definition import Definition
from phasm_fdb.fields.field import Space
from phasm_fdb.inbox import Inbox
from phasm_fdb.keyspace import Keyspace
from phasm_fdb.machine import Normal, TrackedActionCompleted
from phasm_fdb.meta import Meta
from phasm_fdb.outbox import Outbox, TransactionStamps
from phasm_fdb.receipts import Applied, Receipt, Receipts
from phasm_fdb.state import Changes

Input = Normal[Any] | TrackedActionCompleted[Any]


@dataclass(frozen=True, slots=True)
class Machinery:
    """The parts of a layer that a transition needs."""

    definition: Definition
    keyspace: Keyspace
    meta: Meta
    outbox: Outbox
    receipts: Receipts
    inbox: Inbox
    checked: bool


def transition(
    machinery: Machinery,
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
        StaleCompletion, TransitionError, InvariantViolation, or whatever `stf` raises; nothing is written then.
    """
    staged = Staged(base if cached is None else cached)
    stored = machinery.meta.load(staged)
    staged.exclusive = stored.cached
    if receipt is not None and may_be_repeated:
        earlier = machinery.receipts.find(staged, receipt.key)
        if earlier is not None:
            return earlier
    if isinstance(input, TrackedActionCompleted):
        machinery.outbox.require(staged, input.id)

    definition = machinery.definition
    actions = Actions(definition.machine.max_actions, definition.check_action, stamps.next_user_version)
    large = set(stored.large)
    state = definition.state_class(space_of(machinery.keyspace, staged, large, stamps))
    reply = definition.stf(state, input, actions)
    if machinery.checked:
        changes = Changes(definition.state_class.fields, machinery.keyspace.state, staged)
        definition.check_changes(view_of(machinery, staged, large, "check_changes"), changes, input)

    if isinstance(input, TrackedActionCompleted):
        machinery.outbox.remove(staged, stamps, input.id)
    for id in actions.cancelled:
        machinery.outbox.remove(staged, stamps, id)
    applied = Applied(reply, actions.tracked, actions.untracked)
    for tracked in applied.tracked:
        machinery.outbox.emit(staged, stamps, tracked, stored.lanes, input.at)
    for later in actions.delayed:
        machinery.outbox.delay(staged, stamps, later, definition.inputs.to_raw(later.payload), stored.lanes, input.at)
    machinery.meta.note(staged, stored, large, cached is not None)
    if receipt is not None:
        machinery.receipts.write(staged, receipt, applied)
    staged.flush(base)
    if cached is not None:
        cached.wrote(staged.written())
    return applied


def space_of(keyspace: Keyspace, staged: Staged, large: set[str], stamps: TransactionStamps) -> Space:
    """Where the machine's state lies over a staged view."""
    return Space(staged, keyspace.state, keyspace.overflow, large, stamps.next_user_version)


def view_of(machinery: Machinery, base: Any, large: set[str], place: str) -> Any:
    """The machine's state over a transaction or a staged view, to be read only; `place` is where, for errors."""
    staged = Staged(base, read_only=place)
    return machinery.definition.state_class(space_of(machinery.keyspace, staged, large, TransactionStamps()))
