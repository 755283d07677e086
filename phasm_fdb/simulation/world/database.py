"""The embedded engine as a simulated process uses it: every wait is a decision, every run of `stf` is kept.

By default a read is ready at once, and the transaction goes on. Where a decision says so, other tasks go on first, or
time passes, or the read fails, or the process dies there.
"""

from __future__ import annotations

import asyncio
import functools
import random
from collections.abc import Callable
from typing import Any, TypeVar

import greenlet

from phasm_fdb.actions import Actions
from phasm_fdb.cache import CachedReader
from phasm_fdb.database.staged import Staged, TransactionReader
from phasm_fdb.database.transactional import error_code
from phasm_fdb.database.waiting import Suspendable
from phasm_fdb.definition import Definition
from phasm_fdb.embedded.attempt import Attempt
from phasm_fdb.embedded.database import Database
from phasm_fdb.embedded.future import Future, Value
from phasm_fdb.embedded.range_result import Batch, RangeRequest
from phasm_fdb.embedded.store import CommitRequest
from phasm_fdb.embedded.transaction import Transaction
from phasm_fdb.error_codes import TRANSACTION_TOO_OLD
from phasm_fdb.errors import DatabaseError, FDBError, TransitionError
from phasm_fdb.simulation.world.commit import StfRun
from phasm_fdb.simulation.world.link import Link

F = TypeVar("F", bound=Future[Any])


class SimulatedDatabase(Database):
    """A database handle of one process."""

    def __init__(self, link: Link, chance: random.Random) -> None:
        loop = link.server.loop

        def call_later(seconds: float, callback: Callable[[], None]) -> None:
            loop.call_later(seconds, callback)

        super().__init__(link, clock=loop.time, sleep=loop.advance, random=chance.random, call_later=call_later)
        self.link = link

    def create_transaction(self) -> Transaction:
        """A new transaction."""
        return FaultyTransaction(self) if self.link.reads_faulty else SimulatedTransaction(self)


class SimulatedTransaction(Transaction):
    """A transaction that keeps what `stf` did in it.

    Attributes:
        runs: the runs of `stf` of this attempt.
    """

    __slots__ = ("runs",)

    def _begin_attempt(self) -> None:
        super()._begin_attempt()
        self.runs: list[StfRun] = []

    def _send(self, request: CommitRequest) -> Future[None]:
        link: Link = self._database.link  # type: ignore[attr-defined]
        link.runs = [run for run in self.runs if run.counts or run.failed]
        return super()._send(request)


class FaultyTransaction(SimulatedTransaction):
    """One whose reads take time, fail, or kill."""

    __slots__ = ()

    def _get(self, key: bytes, snapshot: bool) -> Value:
        return self._on_the_way(super()._get(key, snapshot), Value)

    def _fetch_batch(self, request: RangeRequest, snapshot: bool) -> Future[Batch]:
        return self._on_the_way(super()._fetch_batch(request, snapshot), Future)

    def _on_the_way(self, read: F, kind: type[Future[Any]]) -> F:
        """The answer to a read, as the link lets it arrive."""
        link: Link = self._database.link  # type: ignore[attr-defined]
        if link.process.is_dead:
            return _later(kind)()  # type: ignore[return-value]
        if link.decide("crash at read") is not None:
            link.process.crash("at a read")
            return _later(kind)()  # type: ignore[return-value]
        if link.decide("1007") is not None:
            return kind(error=FDBError(TRANSACTION_TOO_OLD, "injected"))  # type: ignore[return-value]
        seconds = link.decide("read slow")
        if seconds is None:
            if link.decide("switch") is None:
                return read
            seconds = 0.0
        answer = _later(kind)()
        answer.come = functools.partial(_arrive, link, answer, read, self._attempt)
        link.server.later(float(seconds), answer.come)
        return answer  # type: ignore[return-value]


def _arrive(link: Link, answer: _Arriving, read: Future[Any], attempt: Attempt) -> None:
    """An answer is there, unless that took longer than its snapshot lasts."""
    if link.process.is_dead:
        return
    try:
        attempt.snapshot().get(b"")
    except FDBError as error:
        answer.settle(error=error)
        return
    answer.settle(read._result, read._error)


class _Arriving(Future[Any]):
    """An answer on its way.

    Attributes:
        come: lets it arrive; None if it never will.
    """

    __slots__ = ("come",)

    def __init__(self) -> None:
        super().__init__(pending=True)
        self.come: Callable[[], None] | None = None

    def _before_blocking(self) -> None:
        """Whoever waits in a greenlet is suspended; any other caller blocks the loop, so the answer comes at once."""
        current = greenlet.getcurrent()
        while self._waiting is not None:
            if isinstance(current, Suspendable):
                current.suspend(self)
                continue
            if self.come is not None:
                self.come()
            if self._waiting is not None:
                raise asyncio.CancelledError("the process has died")


class _ArrivingValue(_Arriving, Value):
    """A value on its way."""

    __slots__ = ()


def _later(kind: type[Future[Any]]) -> type[_Arriving]:
    return _ArrivingValue if kind is Value else _Arriving


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
