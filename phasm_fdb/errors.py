"""Every error of the package, and whether the work that raised it can safely be run again.

Two questions decide what a caller does with an error, so every class answers them:

`retryable`
    Running the same call again may succeed, and is safe (a request id makes it exactly once).
`maybe_committed`
    The call may have taken effect although it raised. Only FoundationDB's 1021 and 1039 are like that.
"""

from __future__ import annotations

from typing import Any

from phasm_fdb import error_codes

#: The most characters of a value that an error shows.
MOST_SHOWN = 500


def shown(value: object, most: int = MOST_SHOWN) -> str:
    """The value as an error shows it: its `repr`, cut where that is long, and its type where that fails."""
    try:
        text = repr(value)
    except Exception as error:
        return f"<{type(value).__name__}, whose repr fails with {type(error).__name__}>"
    return text if len(text) <= most else f"{text[:most]}..."


def message_of(error: BaseException) -> str:
    """The message of an error, whatever it is, as it can be stored: without lone surrogates."""
    try:
        return str(error).encode("utf-8", "backslashreplace").decode()
    except Exception as second:
        return f"its text cannot be had: {type(second).__name__}"


class PhasmError(Exception):
    """The base of every error that this package raises on purpose."""

    retryable: bool = False
    maybe_committed: bool = False


# ---------------------------------------------------------------------------------------- the machine


class TransitionError(PhasmError):
    """The machine refused an input: raise a subclass of it in `stf`.

    The transition is dropped whole (PHASM's invariant 1): no state, no action, no receipt. Running the same
    input on another state may well succeed, but the same state refuses it again, so it is not retryable.
    """


class InputRejected(TransitionError):
    """The machine refused a submitted input when a worker applied it; that outcome is recorded and final.

    Args:
        kind: the class name of the machine's own TransitionError.
        reason: its message.
    """

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(f"{kind}: {reason}" if reason else kind)
        self.kind = kind
        self.reason = reason

    def __reduce__(self) -> tuple[Any, ...]:
        return (type(self), (self.kind, self.reason))


class InputFailed(PhasmError):
    """A submitted input made the machine fail, and lies in the dead letters.

    Args:
        cause: what it failed with.
    """

    def __init__(self, cause: str) -> None:
        super().__init__(f"the input could not be applied and lies in the dead letters: {cause}")
        self.cause = cause

    def __reduce__(self) -> tuple[Any, ...]:
        return (type(self), (self.cause,))


class RestoreError(PhasmError):
    """The machine could not resume from its state: raise a subclass of it in `restore`."""


class InvariantViolation(PhasmError):
    """`check_invariants` found the state wrong; in a checked transition nothing was written.

    Args:
        message: what does not hold, with the keys and values that show it.
        input: the input that would have led there, where there is one.
        changes: the keys that the transition wrote, by field name, where there was one.

    Attributes:
        difference: the rows that the transition would have changed, each with its value before and after.
    """

    def __init__(self, message: str, *, input: object = None, changes: object = None) -> None:
        super().__init__(message)
        self.input = input
        self.changes = changes
        self.difference: tuple[Any, ...] = ()


class NondeterminismError(PhasmError):
    """Machine code reached for something that is not in its state or input (PHASM's invariants 2 and 10)."""


class MachineDefinitionError(PhasmError, TypeError):
    """A machine, a State or a field is not well formed; raised when the class or the Layer is made."""


class HandlerError(PhasmError, TypeError):
    """A handler is registered twice, or for what is no action of the machine; raised before anything runs."""


# ------------------------------------------------------------------------------------- inputs and actions


class StaleCompletion(PhasmError):
    """A result came for an action that is not pending: completed before, cancelled, or never emitted."""

    def __init__(self, id: object) -> None:
        super().__init__(
            f"no tracked action with id {id!r} is pending: it was completed or cancelled before, or never emitted; "
            "nothing was changed, and the result can be dropped"
        )
        self.id = id


class OutcomeUnknown(PhasmError):
    """An input without a request id may have been applied: its commit had no answer, and over an hour has passed since.

    Give inputs request ids, and ask again under the same one: their receipts are kept for days.
    """

    maybe_committed = True

    def __init__(self) -> None:
        super().__init__(
            "the input may have been applied: an earlier attempt had no answer, and over an hour has passed since, and "
            "then its receipt is swept; look at the state, and give inputs a request_id: its receipt is kept for days"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return (type(self), ())


class StaleLease(PhasmError):
    """A worker acted for a lane that it holds no more: another has taken it over. Nothing was written."""

    def __init__(self, lane: int, token: int) -> None:
        super().__init__(
            f"lane {lane} is no longer held under the token {token}: another worker has taken it over; "
            "nothing was written, and what was done for it is in doubt"
        )
        self.lane = lane
        self.token = token


class DuplicateAction(PhasmError):
    """A transition emitted a tracked action under an id that is already pending."""

    def __init__(self, id: object) -> None:
        super().__init__(
            f"a tracked action with id {id!r} is pending already: ids are unique among the pending; "
            "take the next one from a Counter, use actions.new_id(), or cancel the first"
        )
        self.id = id


class ActionsFull(TransitionError):
    """The actions container is at its capacity (PHASM's fallible container): the input is refused."""

    def __init__(self, capacity: int) -> None:
        super().__init__(
            f"this transition may emit at most {capacity} actions: emit fewer, or raise `max_actions` on the machine"
        )
        self.capacity = capacity


class CodecError(PhasmError, ValueError):
    """A value does not fit its declared type, or stored bytes do not decode as it."""

    def at(self, what: str, row: bytes) -> CodecError:
        """The same error, naming the row that was read; `what` says what it holds."""
        return type(self)(f"{what} in the row {shown(row)}: {self}")


class NewerValue(CodecError):
    """A stored value has a type, a field or a member that this code does not know: newer code wrote it.

    It is not damaged and nothing is lost: code that knows it reads it. Workers leave it to those that do.
    """


class InputError(CodecError):
    """An input, result or action is not of a type that the machine declares; names it and the field."""


class ReadOnlyError(PhasmError):
    """State was written where it may only be read: in `restore`, in `check_invariants` or through a view."""


# ----------------------------------------------------------------------------------------- the database


class DatabaseError(PhasmError):
    """The database cannot be opened or used; the message says what to do."""


class ReplayError(DatabaseError):
    """A history cannot be replayed: it has no beginning, or a gap; or there is no such snapshot or file."""


class DamagedHistory(ReplayError):
    """A snapshot or an exported history is not as it was written: a checksum is wrong, or the end is missing."""


class KeyspaceError(DatabaseError):
    """The layer's subspace holds something else: another machine, a newer format, or an overlapping layer."""


class FDBError(DatabaseError):
    """An error with a FoundationDB code, as the binding's own `fdb.FDBError` has it.

    Args:
        code: FoundationDB's error code, such as 1020.
        detail: what this database knows beyond the code's own description.
    """

    def __init__(self, code: int, detail: str = "") -> None:
        self.code = code
        self.description = error_codes.DESCRIPTIONS.get(code, "Unknown error")
        self.detail = detail
        self.outcome_unknown = False
        super().__init__(code, detail)

    def __str__(self) -> str:
        text = f"{self.description} ({self.code})"
        return f"{text}: {self.detail}" if self.detail else text

    def __repr__(self) -> str:
        return f"FDBError({self.code})"

    def __reduce__(self) -> tuple[Any, ...]:
        return (type(self), (self.code, self.detail), {"outcome_unknown": self.outcome_unknown})

    @property
    def retryable(self) -> bool:  # type: ignore[override]
        """Whether `on_error` would run the transaction again; it may have committed (`maybe_committed`)."""
        return self.code in error_codes.RETRYABLE

    @property
    def maybe_committed(self) -> bool:  # type: ignore[override]
        """Whether the commit may have happened although this was raised.

        By the code, or because the retry loop or the engine knows more (`outcome_unknown`): a commit that timed out
        (1031) or was cancelled (1025) while it was on its way, an earlier attempt that ended with 1021, or a disk that
        failed in the commit (1510).
        """
        return self.outcome_unknown or self.code in error_codes.MAYBE_COMMITTED
