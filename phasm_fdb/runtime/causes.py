"""What an error says about who has to act: the machine and the handlers, or the database; and its words."""

from __future__ import annotations

from phasm_fdb.database.transactional import error_code
from phasm_fdb.dead_letters import MAX_CAUSE
from phasm_fdb.errors import ActionsFull, DatabaseError, TransitionError, message_of


class WorkerLost(Exception):
    """The cause of death of an action whose last attempt was under way when its worker died."""


class ResultTooLarge(Exception):
    """What the machine does about a result is too large for a transaction."""


class ResultLost(Exception):
    """The result of an action was kept, and its rows are not there any more."""


def is_ours(error: BaseException) -> bool:
    """Whether an error is the machine's or the handler's: not the database's, and not the end of the program."""
    return isinstance(error, Exception) and not isinstance(error, DatabaseError) and error_code(error) is None


def is_refusal(error: BaseException) -> bool:
    """Whether the machine refuses what it got, and has not failed on it: emitting too many actions is a failure."""
    return isinstance(error, TransitionError) and not isinstance(error, ActionsFull)


def cause_of(error: BaseException) -> str:
    """An error in words that can be stored, whatever its own text is."""
    name = type(error).__name__
    text = message_of(error)
    return (f"{name}: {text}" if text else name)[:MAX_CAUSE]
