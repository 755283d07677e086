"""When a transaction may be used: deferred errors, failures, timeouts, retries, `reset` and `cancel`.

The rules are those of FoundationDB's ReadYourWritesTransaction and of the thread-safe wrapper around it
(fdbclient/ReadYourWrites, fdbclient/ThreadSafeTransaction):

- A write or an option that is not legal raises nothing by itself. Its error is kept, the writes after it are
  dropped, and every read and commit fails with it until `reset` or `on_error`.
- A failure (cancelled, timed out, used during a commit, `on_error` that did not retry) is answered by every
  read and commit until `reset`. Writes are still taken, but they cannot be committed.
- A transaction that began to commit cannot be used again before `reset` or `on_error`.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from phasm_fdb.embedded.attempt import Attempt
from phasm_fdb.embedded.backoff import RETRIED, Backoff
from phasm_fdb.embedded.future import Future
from phasm_fdb.embedded.options import TransactionOptions
from phasm_fdb.embedded.promises import Promises
from phasm_fdb.embedded.timing import Delay
from phasm_fdb.embedded.turns import Turn
from phasm_fdb.error_codes import (
    CLIENT_INVALID_OPERATION,
    INVALID_OPTION_VALUE,
    NOT_COMMITTED,
    READ_VERSION_ALREADY_SET,
    TRANSACTION_CANCELLED,
    TRANSACTION_TIMED_OUT,
    USED_DURING_COMMIT,
    VERSION_INVALID,
)
from phasm_fdb.errors import FDBError

if TYPE_CHECKING:
    from phasm_fdb.embedded.database import Database


NO_VERSION = -1

LONGEST_IDENTIFIER = 100
"""The most characters of a transaction's debug identifier."""

_ANSWERED_AS = {0: CLIENT_INVALID_OPERATION, 1100: TRANSACTION_CANCELLED}
"""Codes that `on_error` answers with another one."""


class Lifecycle:
    """The state of a transaction, apart from what it reads and writes."""

    __slots__ = (
        "__weakref__",
        "_attempt",
        "_backoff",
        "_began",
        "_commit_future",
        "_committed_version",
        "_committing",
        "_contended",
        "_database",
        "_deferred",
        "_failure",
        "_identifier",
        "_lock",
        "_plain",
        "_promises",
        "_read_error",
        "_reads_system_keys",
        "_retries",
        "_settings",
        "_size_limit",
        "_skip_write_conflict",
        "_turn",
    )

    def __init__(self, database: Database) -> None:
        self._database = database
        # Threads may share a transaction, as they may on a cluster. Reentrant: what a call settles may call back.
        self._lock = threading.RLock()
        self._committed_version = NO_VERSION  # survives even a reset
        self._turn: Turn | None = None
        self._begin()

    def _begin(self) -> None:
        """Start anew, as if just created."""
        self._settings = self._database._settings
        self._retries = 0
        self._identifier: str | bytes | None = None
        self._backoff: Backoff | None = None
        self._began = self._database._time.clock()
        self._begin_attempt()

    def _begin_attempt(self) -> None:
        """Start anew, but for what outlives a retry."""
        settings = self._settings
        self._attempt = attempt = Attempt(self._database._store)
        attempt.snapshot_reads_see_writes = self._database._settings.snapshot_ryw
        attempt.bypass_unreadable = settings.bypass_unreadable
        self._size_limit = settings.size_limit
        self._deferred: FDBError | None = None
        self._failure: FDBError | None = None
        self._read_error: FDBError | None = None
        self._committing = False
        self._commit_future: Future[None] | None = None
        self._contended: bytes | None = None  # where the commit lost
        self._skip_write_conflict = False
        self._reads_system_keys = False
        self._promises: Promises | None = None
        # Whether reads and writes need no second look: nothing failed, nothing is committing, nothing times
        # out.
        self._plain = not settings.timeout

    # --------------------------------------------------------------------------------------- what is refused

    def _refusal(self) -> FDBError | None:
        """Why nothing can be read or committed now, if so."""
        if self._plain:
            return None
        return self._deferred or self._use_refusal()

    def _use_refusal(self) -> FDBError | None:
        self._check_timeout()
        if self._committing:
            self._used_during_commit()
            return FDBError(USED_DURING_COMMIT)
        return self._failure

    def _check_write(self) -> None:
        """Raise when the transaction is committing; a failed one still takes writes."""
        if self._committing:
            self._used_during_commit()
            raise FDBError(USED_DURING_COMMIT)

    def _used_during_commit(self) -> None:
        if self._settings.protects_commit:
            self._fail(FDBError(USED_DURING_COMMIT))

    def _defer(self, change: Callable[[Lifecycle], None]) -> None:
        """Make a change now, and keep its error for the next read or commit."""
        with self._lock:
            if self._deferred is not None:
                return
            try:
                change(self)
            except FDBError as error:
                self._deferred = error
                self._plain = False

    def _fail(self, error: FDBError) -> None:
        """Spoil the transaction with its first failure."""
        if self._failure is not None:
            return
        self._failure = error
        self._plain = False
        self._end_turn()
        if self._commit_future is not None:
            self._commit_future.settle(error=error)
        if self._promises is not None:
            self._promises.fail_used(error, self._committing)

    def _drop(self, error: FDBError) -> None:
        """Fail what waits for this attempt, which is over."""
        if self._commit_future is not None:
            self._commit_future.settle(error=error)
        if self._promises is not None:
            self._promises.fail(error)

    def _promised(self) -> Promises:
        if self._promises is None:
            self._promises = Promises()
        return self._promises

    # ----------------------------------------------------------------------------------------------- options

    @property
    def options(self) -> TransactionOptions:
        """What can be set, as `set_*` methods."""
        return TransactionOptions(self)

    def _set_timeout(self, milliseconds: int) -> None:
        self._check_timeout()  # one that has fired is not undone
        self._settings = replace(self._settings, timeout=milliseconds)
        if milliseconds:
            self._plain = False
            self._watch_timeout()

    @property
    def _deadline(self) -> float | None:
        timeout = self._settings.timeout
        return self._began + timeout / 1000 if timeout else None

    def _check_timeout(self) -> None:
        deadline = self._deadline
        if deadline is not None and self._database._time.clock() >= deadline:
            self._fail(FDBError(TRANSACTION_TIMED_OUT))

    def _watch_timeout(self) -> None:
        """See to it that what waits for the transaction fails when its time is up."""
        deadline = self._deadline
        if deadline is None or (self._promises is None and self._commit_future is None):
            return
        weak = weakref.ref(self)

        def look() -> None:
            transaction = weak()
            if transaction is not None:
                with transaction._lock:
                    transaction._check_timeout()

        time = self._database._time
        time.call_later(deadline - time.clock(), look)

    def _disable_read_your_writes(self) -> None:
        if self._read_error is not None or not self._attempt.untouched:
            raise FDBError(CLIENT_INVALID_OPERATION)
        self._attempt.stop_seeing_writes()

    def _count_snapshot_ryw(self, step: int) -> None:
        self._attempt.snapshot_reads_see_writes += step

    def _skip_next_write_conflict(self) -> None:
        self._skip_write_conflict = True

    def _read_system_keys(self) -> None:
        self._reads_system_keys = True

    def _identify(self, identifier: str | bytes) -> None:
        if not 0 < len(identifier) <= LONGEST_IDENTIFIER:
            raise FDBError(INVALID_OPTION_VALUE)
        if self._identifier not in (None, identifier):
            raise FDBError(CLIENT_INVALID_OPERATION)
        self._identifier = identifier

    def _require_identifier(self) -> None:
        if self._identifier is None:
            raise FDBError(CLIENT_INVALID_OPERATION)

    def _bypass_unreadable(self) -> None:
        self._attempt.bypass_unreadable = True

    def set_read_version(self, version: int) -> None:
        """Read at `version` instead of the latest one.

        A version that was set or taken before (2010), or is not positive (2011), fails the next read or
        commit.
        """

        def change(_: Any) -> None:
            if self._attempt.has_version:
                raise FDBError(READ_VERSION_ALREADY_SET)
            if version <= 0:
                raise FDBError(VERSION_INVALID)
            self._attempt.version = version

        self._defer(change)

    # -------------------------------------------------------------------------------------- reset and retry

    def reset(self) -> None:
        """Start anew: forget reads, writes, errors and options. What waited for the old life fails with
        1025.
        """
        with self._lock:
            self._end_turn()
            self._end_attempt()
            self._begin()

    def cancel(self) -> None:
        """Give the transaction up: reads and commits fail with 1025 until `reset`."""
        with self._lock:
            self._fail(FDBError(TRANSACTION_CANCELLED))

    def on_error(self, error: Any) -> Future[None]:
        """Get ready for the next attempt after `error`, a code or an exception that has one as `.code`.

        The future is ready after a random delay that grows with every retry. The transaction is then as
        new, but for its timeout, retry limit and longest delay.

        Raises:
            BaseException: `error` itself, when it is an exception without a code.

        The future fails with the error when it is not one to retry, or was retried often enough; the
        transaction is cancelled then.
        """
        code = error if isinstance(error, int) else getattr(error, "code", None)
        if not isinstance(code, int):
            raise error
        with self._lock:
            return self._on_error(error, code)

    def _on_error(self, error: Any, code: int) -> Future[None]:
        self._check_timeout()
        if self._failure is not None:
            return Future(error=self._failure)
        limit = self._settings.retry_limit
        exhausted = limit != -1 and self._retries >= limit
        self._retries += 1
        if exhausted or code not in RETRIED:
            self._fail(FDBError(TRANSACTION_CANCELLED))
            if code in _ANSWERED_AS or not isinstance(error, FDBError):
                error = FDBError(_ANSWERED_AS.get(code, code))
            return Future(error=error)
        return self._retry(code)

    def _retry(self, code: int) -> Future[None]:
        time, deadline = self._database._time, self._deadline
        wait = self._wait_for_turn(code)
        if wait is None:
            if self._backoff is None:
                self._backoff = Backoff(self._database._random)
            seconds = self._backoff.delay(code, self._settings.max_retry_delay / 1000)
            if deadline is not None and time.clock() + seconds >= deadline:
                wait = Delay(time, deadline - time.clock(), FDBError(TRANSACTION_TIMED_OUT))
            else:
                wait = Delay(time, seconds)
        self._end_attempt()
        self._begin_attempt()
        return wait

    def _wait_for_turn(self, code: int) -> Future[None] | None:
        """Queue for the key that the commit lost; None where it is not known, or was lost in the own turn."""
        key = self._contended if code == NOT_COMMITTED else None
        if key is not None and self._turn is not None and self._turn.key == key:
            return None
        self._end_turn()
        if key is None:
            return None
        turn = self._turn = Turn(self._database._turns, key)
        self._database._turns.enter(turn)
        deadline = self._deadline
        if deadline is not None and not turn.is_ready():
            time = self._database._time
            time.call_later(deadline - time.clock(), lambda: turn.time_out(FDBError(TRANSACTION_TIMED_OUT)))
        return turn

    def _end_turn(self) -> None:
        turn, self._turn = self._turn, None
        if turn is not None:
            self._database._turns.leave(turn)

    def _end_attempt(self) -> None:
        self._drop(FDBError(TRANSACTION_CANCELLED))
        self._attempt.close()
