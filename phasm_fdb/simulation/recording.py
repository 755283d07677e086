"""Noting every run of `stf` in the transaction that it runs in."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from phasm_fdb.actions import Actions
from phasm_fdb.cache import CachedReader
from phasm_fdb.database.staged import Staged, TransactionReader
from phasm_fdb.database.transactional import error_code
from phasm_fdb.definition import Definition
from phasm_fdb.errors import DatabaseError, TransitionError
from phasm_fdb.simulation.commit import StfRun
from phasm_fdb.simulation.database import SimulatedTransaction


def record_runs(
    definition: Definition, failed: Callable[[BaseException], None], meant: tuple[type[Exception], ...] = ()
) -> None:
    """Let a machine's transactions keep what its `stf` did in them.

    Args:
        failed: told of what `stf` raises that is neither a TransitionError nor the database's.
        meant: other errors that it raises on purpose.
    """
    definition.stf = functools.partial(_stf, definition.stf, failed, meant)  # type: ignore[method-assign]


def _stf(
    stf: Callable[..., Any],
    failed: Callable[[BaseException], None],
    meant: tuple[type[Exception], ...],
    state: Any,
    input: Any,
    actions: Any,
) -> Any:
    run = StfRun(input, number=_next_number(state), staged=state.space.staged)
    transaction = _transaction_under(state.space.staged)
    if transaction is not None:
        transaction.runs.append(run)
    try:
        run.reply = stf(state, input, actions)
    except TransitionError as rejection:
        run.error = rejection
        raise
    except Exception as error:
        run.error = error
        if not isinstance(error, (DatabaseError, *meant)) and error_code(error) is None:
            error.input = input  # type: ignore[attr-defined]
            failed(error)
        raise
    assert isinstance(actions, Actions)
    run.actions = actions
    return run.reply


def _next_number(state: Any) -> int:
    """The next number beside the versionstamp that `new_id` would give out."""
    stamps = getattr(state.space.next_user_version, "__self__", None)
    return 0 if stamps is None else int(stamps.count)


def _transaction_under(reader: Any) -> SimulatedTransaction | None:
    """The transaction that a staged view lies over."""
    while isinstance(reader, Staged):
        reader = reader._base
    if isinstance(reader, TransactionReader):
        reader = reader._reader
    elif isinstance(reader, CachedReader):
        reader = reader._tr
    return reader if isinstance(reader, SimulatedTransaction) else None
