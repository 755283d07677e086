"""Deterministic, crash-recoverable state machines as a FoundationDB layer.

A machine is a pure function from state and input to new state and actions; a `Layer` binds it to a subspace of a
FoundationDB cluster, or of an embedded database with the same semantics.
"""

from fdb.subspace_impl import Subspace

from phasm_fdb import aio
from phasm_fdb.actions import Actions, Tracked, Untracked
from phasm_fdb.database.transactional import transactional
from phasm_fdb.database.url import open
from phasm_fdb.errors import (
    ActionsFull,
    CodecError,
    DatabaseError,
    DuplicateAction,
    FDBError,
    HandlerError,
    InputError,
    InputFailed,
    InputRejected,
    InvariantViolation,
    KeyspaceError,
    MachineDefinitionError,
    NewerValue,
    NondeterminismError,
    PhasmError,
    ReadOnlyError,
    RestoreError,
    StaleCompletion,
    StaleLease,
    TransitionError,
)
from phasm_fdb.layer import Layer
from phasm_fdb.machine import Normal, StateMachine, TrackedActionCompleted
from phasm_fdb.receipts import Applied
from phasm_fdb.runtime import Attempt, Handlers, Worker
from phasm_fdb.state import Changes, Counter, Index, Log, Map, State, Value

__all__ = [
    "Actions",
    "ActionsFull",
    "Applied",
    "Attempt",
    "Changes",
    "CodecError",
    "Counter",
    "DatabaseError",
    "DuplicateAction",
    "FDBError",
    "HandlerError",
    "Handlers",
    "Index",
    "InputError",
    "InputFailed",
    "InputRejected",
    "InvariantViolation",
    "KeyspaceError",
    "Layer",
    "Log",
    "MachineDefinitionError",
    "Map",
    "NewerValue",
    "NondeterminismError",
    "Normal",
    "PhasmError",
    "ReadOnlyError",
    "RestoreError",
    "StaleCompletion",
    "StaleLease",
    "State",
    "StateMachine",
    "Subspace",
    "Tracked",
    "TrackedActionCompleted",
    "TransitionError",
    "Untracked",
    "Value",
    "Worker",
    "aio",
    "open",
    "transactional",
]
