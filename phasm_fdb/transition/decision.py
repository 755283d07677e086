"""Running `stf` once: on a view of the state, with an empty container of actions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from phasm_fdb.actions import Actions
from phasm_fdb.database.staged import Staged
from phasm_fdb.definition import Definition
from phasm_fdb.effects import Effects, effects_of
from phasm_fdb.fields.field import StateView
from phasm_fdb.keyspace import Keyspace
from phasm_fdb.machine import Input
from phasm_fdb.outbox import TransactionStamps


@dataclass(slots=True)
class Decision:
    """What `stf` led to on one input; nothing of it is written yet.

    Attributes:
        view: the state as it is then, with what `stf` wrote staged on it.
        actions: what it emitted.
        reply: what it returned.
        error: what was raised instead, by `stf` or by a check, where that is kept for later.
    """

    view: StateView
    actions: Actions
    reply: Any = None
    error: Exception | None = None

    def effects(self, definition: Definition, keyspace: Keyspace) -> Effects:
        """What it led to, in the form in which two runs are compared; raises a CodecError for another type of reply."""
        return effects_of(definition, keyspace, self.view.staged, self.reply, self.actions)

    def raise_if_failed(self) -> None:
        """Raise the error that was kept, once."""
        error = self.error
        if error is not None:
            self.error = None  # or it and the frames that it names would hold each other, and the transaction with them
            try:
                raise error
            finally:
                del error


def decide(definition: Definition, view: StateView, input: Input) -> Decision:
    """Run `stf` on a view of the state; raises whatever it raises."""
    actions = Actions(definition.machine.max_actions, definition.encode_action, view.next_user_version)
    reply = definition.stf(definition.state_class(view), input, actions)
    return Decision(view, actions, reply)


def view_over(staged: Staged, keyspace: Keyspace, large: Iterable[str], stamps: TransactionStamps) -> StateView:
    """The machine's state over staged writes.

    Args:
        large: the names of the fields that may hold large values, as the meta row has them.
        stamps: gives out the numbers of new ids.
    """
    return StateView(staged, keyspace.state, keyspace.overflow, large, stamps.next_user_version)
