"""FoundationDB's retry loop, for every database that speaks the port.

`fdb.transactional` tests for the binding's own classes; this is the same loop by duck typing. A body may run more
than once, and after 1021 or 1039 an earlier run may already have committed: make it idempotent, as
`Layer.apply` is through its request id.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable
from typing import Any, TypeVar, overload

from phasm_fdb import error_codes
from phasm_fdb.database.aio import ready
from phasm_fdb.database.port import Transaction
from phasm_fdb.database.waiting import wait
from phasm_fdb.errors import DatabaseError, FDBError

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])

COMMIT_UNKNOWN_RESULT = 1021
CLUSTER_VERSION_CHANGED = 1039


def error_code(error: BaseException) -> int | None:
    """FoundationDB's code of an error of any database, or None if it is not a database's error."""
    if isinstance(error, FDBError):
        return error.code
    binding = sys.modules.get("fdb.impl")
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
    """What the retry loop did so far, for bodies that want to know.

    Attributes:
        number: which run of the body this is, from 1.
        maybe_committed: whether an earlier run may have committed (1021 or 1039).
    """

    def __init__(self) -> None:
        self.number = 0
        self.maybe_committed = False

    def failed(self, code: int) -> None:
        self.maybe_committed = self.maybe_committed or code in error_codes.MAYBE_COMMITTED

    def give_up(self, error: BaseException) -> None:
        """Say in the error that is about to be raised what went before it."""
        if self.number > 1:
            maybe = ", and an earlier one may have committed" if self.maybe_committed else ""
            error.add_note(f"raised by attempt {self.number} of the transaction{maybe}")


def run(db: Any, body: Callable[[Any], T], attempts: Attempts | None = None) -> T:
    """Call `body(tr)` in a transaction of its own and commit it, again and again until it commits.

    Raises what the body raises, and the database's error when it is not retryable or the transaction's own
    retry limit or timeout is reached; the transaction is cancelled then. A note on the error counts the attempts.
    """
    attempts = attempts if attempts is not None else Attempts()
    tr: Transaction = db.create_transaction()
    while True:
        attempts.number += 1
        try:
            result = body(tr)
            wait(tr.commit())
            return result
        except BaseException as error:
            _back_off(tr, error, attempts, wait)


def _back_off(tr: Transaction, error: BaseException, attempts: Attempts, wait_for: Callable[[Any], Any]) -> None:
    """Make the transaction ready for another attempt, or raise the error."""
    code = error_code(error)
    if code is None:
        tr.cancel()
        attempts.give_up(error)
        raise error
    attempts.failed(code)
    # `on_error` refuses 1039, which is as unknown as 1021 and as safe to retry: it backs off as for that one.
    retry_as = COMMIT_UNKNOWN_RESULT if code == CLUSTER_VERSION_CHANGED else code
    try:
        wait_for(tr.on_error(retry_as))
    except BaseException as final:
        attempts.give_up(final)
        raise final from error


async def run_async(db: Any, body: Callable[[Any], Any], attempts: Attempts | None = None) -> Any:
    """`run` for a coroutine function: `await body(tr)`, with waits served by the running event loop."""
    attempts = attempts if attempts is not None else Attempts()
    tr: Transaction = db.create_transaction()
    while True:
        attempts.number += 1
        try:
            result = await body(tr)
            await _settled(tr.commit())
            return result
        except BaseException as error:
            pending: list[Any] = []
            _back_off(tr, error, attempts, pending.append)
            for future in pending:
                try:
                    await _settled(future)
                except BaseException as final:
                    attempts.give_up(final)
                    raise final from error


async def _settled(future: Any) -> Any:
    await ready(future)
    return future.wait()


@overload
def transactional(function: F, /) -> F: ...
@overload
def transactional(*, parameter: str) -> Callable[[F], F]: ...
def transactional(function: Any = None, /, *, parameter: str | None = None) -> Any:
    """Let a function that takes a transaction also take a database: it then runs in the retry loop.

    The transaction is the parameter named `parameter`, else the one named `tr`, else the first. Called with a
    transaction, the function runs inside it and neither commits nor retries; called with a database, it runs in
    a new transaction which is committed and retried. Works on `def` and on `async def`.

    Raises:
        TypeError: the function has no such parameter, or is a generator (its body would run after the commit).
    """
    if function is None:
        return functools.partial(_decorate, parameter=parameter)
    return _decorate(function, parameter)


def _decorate(function: Callable[..., Any], parameter: str | None) -> Callable[..., Any]:
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise TypeError(f"{function.__qualname__} is a generator: its body would run after the transaction committed")
    names = list(inspect.signature(function).parameters)
    if not names or (parameter is not None and parameter not in names):
        raise TypeError(f"{function.__qualname__} has no parameter {parameter or 'for the transaction'}")
    name = parameter or ("tr" if "tr" in names else names[0])
    position = names.index(name)

    def split(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Callable[[Any], Any]]:
        """The database or transaction, and the function with everything but the transaction filled in."""
        if name in kwargs:
            rest = {key: value for key, value in kwargs.items() if key != name}
            return kwargs[name], lambda tr: function(*args, **{name: tr}, **rest)
        if position >= len(args):
            raise TypeError(f"{function.__qualname__} is missing its transaction, parameter {name!r}")
        before, after = args[:position], args[position + 1 :]
        return args[position], lambda tr: function(*before, tr, *after, **kwargs)

    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def call_async(*args: Any, **kwargs: Any) -> Any:
            db_or_tr, body = split(args, kwargs)
            return await (body(db_or_tr) if is_transaction(db_or_tr) else run_async(db_or_tr, body))

        return call_async

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        db_or_tr, body = split(args, kwargs)
        return body(db_or_tr) if is_transaction(db_or_tr) else run(db_or_tr, body)

    return call
