"""Running `stf` once: on a staged view, with an empty container of actions."""

from __future__ import annotations

from typing import Any

from phasm_fdb.actions import Actions
from phasm_fdb.database.staged import Staged
from phasm_fdb.definition import Definition
from phasm_fdb.fields.field import Space
from phasm_fdb.keyspace import Keyspace
from phasm_fdb.machine import Normal, TrackedActionCompleted
from phasm_fdb.outbox import TransactionStamps

Input = Normal[Any] | TrackedActionCompleted[Any]


def decide(
    definition: Definition,
    keyspace: Keyspace,
    staged: Staged,
    large: set[str],
    stamps: TransactionStamps,
    input: Input,
) -> tuple[Any, Actions]:
    """What the machine replies and emits; raises whatever `stf` raises.

    Args:
        staged: takes what it writes.
        large: the names of the fields that may hold large values; takes those which do now.
        stamps: gives out the numbers of new ids.
    """
    actions = Actions(definition.machine.max_actions, definition.encode_action, stamps.next_user_version)
    state = definition.state_class(space_of(keyspace, staged, large, stamps))
    return definition.stf(state, input, actions), actions


def space_of(keyspace: Keyspace, staged: Staged, large: set[str], stamps: TransactionStamps) -> Space:
    """Where the machine's state lies over a staged view."""
    return Space(staged, keyspace.state, keyspace.overflow, large, stamps.next_user_version)
