"""FoundationDB's retry loop, for every database that speaks the port.

`fdb.transactional` tests for the binding's own classes; this is the same loop by duck typing. A body may run more
than once, and after 1021 or 1039 an earlier run may already have committed: make it idempotent, as
`Layer.apply` is through its request id.
"""

from __future__ import annotations

import functools
import inspect
from collections import Counter
from collections.abc import Callable
from typing import Any, TypeVar, overload

from phasm_fdb import error_codes
from phasm_fdb.database.aio import settled
from phasm_fdb.database.binding import loaded, make_awaitable
from phasm_fdb.database.port import Transaction
from phasm_fdb.database.waiting import wait
from phasm_fdb.error_codes import (
    CLUSTER_VERSION_CHANGED,
    COMMIT_UNKNOWN_RESULT,
    TRANSACTION_CANCELLED,
    TRANSACTION_TIMED_OUT,
)
from phasm_fdb.errors import DatabaseError, FDBError

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])


#: While the commit is in flight these say only that nobody waits for it any more, not that it did not happen.
ABANDONED = frozenset({TRANSACTION_CANCELLED, TRANSACTION_TIMED_OUT})


def error_code(error: BaseException) -> int | None:
    """FoundationDB's code of an error of any database, or None if it is not a database's error."""
    if isinstance(error, FDBError):
        return error.code
    binding = loaded()
    if binding is not None and isinstance(error, binding.FDBError):
        return int(error.code)
    return None


def is_transaction(db_or_tr: Any) -> bool:
    """Whether this is a transaction (True) or a database (False).

    Raises:
        DatabaseError: it is neither.
    """
    if hasattr(db_or_tr, "create_transaction"):
        return False
    if hasattr(db_or_tr, "commit") and hasattr(db_or_tr, "set_versionstamped_key"):
        return True
    raise DatabaseError(
        f"{db_or_tr!r} is neither a database nor a transaction: pass what phasm_fdb.open(url) or fdb.open() "
        "returned, or the transaction inside a @transactional function"
    )


class Attempts:
    """What the retry loop did so far, for bodies and reports that want to know.

    Attributes:
        number: which run of the body this is, from 1.
        codes: the errors that ended the earlier runs, in order.
        committing: whether the commit of this run has been sent.
        maybe_committed: whether a run may have committed although it ended in an error: 1021, 1039, or a commit in
            flight that was given up (1031 timed out, 1025 cancelled, or the task was cancelled).
    """

    def __init__(self) -> None:
        self.number = 0
        self.codes: list[int] = []
        self.committing = False
        self.maybe_committed = False

    def begin(self) -> None:
        """Another run of the body begins."""
        self.number += 1
        self.committing = False

    def failed(self, error: BaseException) -> int | None:
        """A run ended in this error; returns FoundationDB's code of it, or None."""
        code = error_code(error)
        abandoned = self.committing and (code is None or code in ABANDONED)
        if abandoned or code in error_codes.MAYBE_COMMITTED or getattr(error, "outcome_unknown", False):
            self.maybe_committed = True
        if code is not None:
            self.codes.append(code)
        return code

    def give_up(self, error: BaseException) -> None:
        """Say in the error that is about to be raised what went before it."""
        if self.number > 1 or self.maybe_committed:
            before = f", after {_counted(self.codes[:-1])}" if self.number > 1 else ""
            maybe = "; it may have committed" if self.maybe_committed else ""
            if isinstance(error, FDBError):
                error.outcome_unknown = self.maybe_committed
            error.add_note(f"raised by attempt {self.number} of the transaction{before}{maybe}")


def _counted(codes: list[int]) -> str:
    """Error codes in words: `1020 (3 times), 1021`."""
    counts = Counter(codes)
    return ", ".join(f"{code} ({count} times)" if count > 1 else str(code) for code, count in counts.items())


def run(db: Any, body: Callable[[Any], T], attempts: Attempts | None = None) -> T:
    """Call `body(tr)` in a transaction of its own and commit it, again and again until it commits.

    Raises what the body raises, and the database's error when it is not retryable or the transaction's own
    retry limit or timeout is reached; the transaction is cancelled then. A note on the error counts the attempts.
    """
    attempts = attempts if attempts is not None else Attempts()
    tr: Transaction = db.create_transaction()
    while True:
        attempts.begin()
        try:
            result = body(tr)
            attempts.committing = True
            wait(tr.commit())
            return result
        except BaseException as error:
            if not _back_off(tr, error, attempts, wait):
                raise


async def run_async(db: Any, body: Callable[[Any], Any], attempts: Attempts | None = None) -> Any:
    """`run` for a coroutine function: `await body(tr)`, with waits served by the running event loop."""
    make_awaitable()
    attempts = attempts if attempts is not None else Attempts()
    tr: Transaction = db.create_transaction()
    while True:
        attempts.begin()
        try:
            result = await body(tr)
            attempts.committing = True
            await settled(tr.commit())
            return result
        except BaseException as error:
            delays: list[Any] = []
            if not _back_off(tr, error, attempts, delays.append):
                raise
            try:
                for delay in delays:
                    await settled(delay)
            except BaseException as final:
                _keep_detail(final, error)
                tr.cancel()  # it may wait in a queue
                attempts.give_up(final)
                raise final from error


def _back_off(tr: Transaction, error: BaseException, attempts: Attempts, wait_for: Callable[[Any], Any]) -> bool:
    """Make the transaction ready for another attempt; False if `error` is not the database's and is to be raised.

    It is not raised here, where it and this frame would hold each other, and all that the attempt held with them.
    """
    code = attempts.failed(error)
    if code is None:
        tr.cancel()
        attempts.give_up(error)
        return False
    # `on_error` refuses 1039, which is as unknown as 1021 and as safe to retry: it backs off as for that one.
    retry_as = COMMIT_UNKNOWN_RESULT if code == CLUSTER_VERSION_CHANGED else code
    try:
        wait_for(tr.on_error(retry_as))
    except BaseException as final:
        _keep_detail(final, error)
        tr.cancel()  # it may wait in a queue
        attempts.give_up(final)
        raise final from error
    return True


def _keep_detail(final: BaseException, error: BaseException) -> None:
    """Let what `on_error` answers, which knows the code alone, say what the error of that code said."""
    if isinstance(final, FDBError) and isinstance(error, FDBError) and (final.code, final.detail) == (error.code, ""):
        final.detail = error.detail


@overload
def transactional(function: F, /) -> F: ...
@overload
def transactional(
    *, parameter: str | None = None, report: Callable[[Attempts], None] | None = None
) -> Callable[[F], F]: ...
def transactional(
    function: Any = None, /, *, parameter: str | None = None, report: Callable[[Attempts], None] | None = None
) -> Any:
    """Let a function that takes a transaction also take a database: it then runs in the retry loop.

    The transaction is the parameter named `parameter`, else the one named `tr`, else the first. Called with a
    transaction, the function runs inside it and neither commits nor retries; called with a database, it runs in
    a new transaction which is committed and retried. Works on `def` and on `async def`.

    Args:
        report: called with the `Attempts` of each call that was given a database, once it has committed or failed.

    Raises:
        TypeError: the function has no such parameter, or is a generator (its body would run after the commit).
    """
    if function is None:
        return functools.partial(_decorate, parameter=parameter, report=report)
    return _decorate(function, parameter, report)


def _decorate(
    function: Callable[..., Any], parameter: str | None, report: Callable[[Attempts], None] | None
) -> Callable[..., Any]:
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise TypeError(f"{function.__qualname__} is a generator: its body would run after the transaction committed")
    split = _splitter(function, parameter)
    tell = report or (lambda attempts: None)

    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def call_async(*args: Any, **kwargs: Any) -> Any:
            db_or_tr, body = split(args, kwargs)
            if is_transaction(db_or_tr):
                return await body(db_or_tr)
            attempts = Attempts()
            try:
                return await run_async(db_or_tr, body, attempts)
            finally:
                tell(attempts)

        return call_async

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        db_or_tr, body = split(args, kwargs)
        if is_transaction(db_or_tr):
            return body(db_or_tr)
        attempts = Attempts()
        try:
            return run(db_or_tr, body, attempts)
        finally:
            tell(attempts)

    return call


def _splitter(
    function: Callable[..., Any], parameter: str | None
) -> Callable[[tuple[Any, ...], dict[str, Any]], tuple[Any, Callable[[Any], Any]]]:
    """What takes the arguments of a call apart: the database or transaction, and the function with all the others."""
    names = list(inspect.signature(function).parameters)
    if not names or (parameter is not None and parameter not in names):
        raise TypeError(f"{function.__qualname__} has no parameter {parameter or 'for the transaction'}")
    name = parameter or ("tr" if "tr" in names else names[0])
    position = names.index(name)

    def split(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Callable[[Any], Any]]:
        if name in kwargs:
            rest = {key: value for key, value in kwargs.items() if key != name}
            return kwargs[name], lambda tr: function(*args, **{name: tr}, **rest)
        if position >= len(args):
            raise TypeError(f"{function.__qualname__} is missing its transaction, parameter {name!r}")
        before, after = args[:position], args[position + 1 :]
        return args[position], lambda tr: function(*before, tr, *after, **kwargs)

    return split
