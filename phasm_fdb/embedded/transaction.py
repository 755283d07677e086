"""The transaction: FoundationDB's client semantics, over any store, by the names of the Python binding.

What one attempt reads and writes is in `attempt`, when the transaction may be used at all in `lifecycle`,
its writes in `writer`. Here are its reads and how it commits: what they check, and in which order, is what
a 7.3 client does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from phasm_fdb.embedded.future import Future, Key, ReadValue, Value
from phasm_fdb.embedded.lifecycle import NO_VERSION
from phasm_fdb.embedded.limits import limits_of
from phasm_fdb.embedded.mutation import versionstamp
from phasm_fdb.embedded.range_result import Batch, RangeRequest
from phasm_fdb.embedded.reader import Reader
from phasm_fdb.embedded.selector import (
    END,
    METADATA_VERSION,
    SPECIAL,
    KeySelector,
    KeyValue,
    Place,
    key_bytes,
    place_of,
)
from phasm_fdb.embedded.splitting import split_points
from phasm_fdb.embedded.store import CommitRequest, Committed, Conflict, Store
from phasm_fdb.embedded.timing import LateRead
from phasm_fdb.embedded.watch import WatchFuture
from phasm_fdb.embedded.writer import KEY_SIZE_LIMIT, Writer
from phasm_fdb.error_codes import (
    FUTURE_VERSION,
    INVERTED_RANGE,
    KEY_OUTSIDE_LEGAL_RANGE,
    KEY_TOO_LARGE,
    NO_COMMIT_VERSION,
    SPECIAL_KEYS_NO_MODULE_FOUND,
    TRANSACTION_TOO_LARGE,
    WATCHES_DISABLED,
)
from phasm_fdb.errors import FDBError

if TYPE_CHECKING:
    from phasm_fdb.embedded.database import Database


T = TypeVar("T")
F = TypeVar("F", bound=Future[Any])


class Transaction(Writer, Reader):
    """Reads of one snapshot of the database, and writes that a commit makes all at once or not at all.

    May be used by several threads, and takes attributes, in which layers keep things (`fdb.directory` does).
    """

    @property
    def db(self) -> Database:
        return self._database

    @property
    def snapshot(self) -> SnapshotReader:
        """The same transaction, read without read conflicts."""
        return SnapshotReader(self)

    # ------------------------------------------------------------------------------------------------- reads

    def get(self, key: Any) -> Value:
        if type(key) is bytes and self._plain and key < END and len(key) <= KEY_SIZE_LIMIT:
            with self._lock:
                try:
                    return ReadValue(self._attempt.get(key, False))
                except FDBError as error:
                    return self._get_failed(error, key, False)
        return self._get(key_bytes(key), False)

    def _get(self, key: bytes, snapshot: bool) -> Value:
        with self._lock:
            if not self._plain or key >= END or len(key) > KEY_SIZE_LIMIT:
                refused = self._get_refused(key)
                if refused is not None:
                    return refused
            try:
                return ReadValue(self._attempt.get(key, snapshot))
            except FDBError as error:
                return self._get_failed(error, key, snapshot)

    def _get_failed(self, error: FDBError, key: bytes, snapshot: bool) -> Value:
        return self._failed(error, Value, lambda: self._attempt.get(key, snapshot))

    def _failed(self, error: FDBError, kind: type[F], read: Callable[[], Any]) -> F:
        """The answer to a read that failed: one of a version that has not happened yet is made again."""
        if error.code == FUTURE_VERSION and self._attempt.version is not None:
            return _LATE[kind](self._database._time, lambda: self._read_late(read))  # type: ignore[return-value]
        self._read_error = self._read_error or error
        return kind(error=error)

    def _read_late(self, read: Callable[[], Any]) -> Any:
        with self._lock:
            try:
                return read()
            except FDBError as error:
                self._read_error = self._read_error or error
                raise

    def _get_refused(self, key: bytes) -> Value | None:
        """The answer to a read of a key that needs no reading, if it is one."""
        if self._deferred is not None:
            return Value(error=self._deferred)
        if key >= SPECIAL:
            return Value(error=FDBError(SPECIAL_KEYS_NO_MODULE_FOUND))
        error = self._refusal()
        if error is None and key >= END and key != METADATA_VERSION:
            if self._reads_system_keys:
                return Value()
            error = FDBError(KEY_OUTSIDE_LEGAL_RANGE)
        if error is not None:
            return Value(error=error)
        return Value() if len(key) > KEY_SIZE_LIMIT else None

    def get_key(self, key_selector: KeySelector) -> Key:
        return self._get_key(key_selector, False)

    def _get_key(self, selector: KeySelector, snapshot: bool) -> Key:
        key = key_bytes(selector.key)
        with self._lock:
            refusal = self._refusal()
            if refusal is None and key > END:
                if self._reads_system_keys:
                    selector = KeySelector(END, False, selector.offset)
                else:
                    refusal = FDBError(KEY_OUTSIDE_LEGAL_RANGE)
            if refusal is not None:
                return Key(error=refusal)
            place = place_of(selector)
            try:
                return Key(self._attempt.get_key(place, snapshot))
            except FDBError as error:
                return self._failed(error, Key, lambda: self._attempt.get_key(place, snapshot))

    def _fetch(self, request: RangeRequest) -> Future[Batch]:
        return self._fetch_batch(request, False)

    def _fetch_batch(self, request: RangeRequest, snapshot: bool) -> Future[Batch]:
        begin, end = request.begin, request.end
        try:
            limits = limits_of(request.limit, request.mode, request.iteration)
        except FDBError as error:
            return Future(error=error)
        with self._lock:
            refusal = self._range_refusal(key_bytes(begin.key), key_bytes(end.key))
            if refusal is not None:
                return Future(error=refusal)
            low, high = place_of(begin), place_of(end)
            if self._reads_system_keys:
                low, high = _of_users(low), _of_users(high)
            if low.offset >= high.offset and low.key >= high.key:
                return Future(Batch([], False))

            def read() -> Batch:
                found = self._attempt.get_range(low, high, limits, request.reverse, snapshot)
                return Batch(list(map(KeyValue._make, found.rows)), found.more)

            try:
                return Future(read())
            except FDBError as error:
                return self._failed(error, Future, read)

    def _range_refusal(self, begin: bytes, end: bytes) -> FDBError | None:
        if self._deferred is not None:
            return self._deferred
        if begin >= SPECIAL and end >= SPECIAL:
            return FDBError(SPECIAL_KEYS_NO_MODULE_FOUND)
        refusal = self._refusal()
        if refusal is None and (begin > END or end > END) and not self._reads_system_keys:
            refusal = FDBError(KEY_OUTSIDE_LEGAL_RANGE)
        return refusal

    def get_read_version(self) -> Future[int]:
        with self._lock:
            self._check_timeout()
            error = self._deferred or self._failure
            if error is not None:
                return Future(error=error)
            try:
                return Future(self._attempt.read_version())
            except FDBError as failure:
                return Future(error=failure)

    def get_estimated_range_size_bytes(self, begin_key: bytes, end_key: bytes) -> Future[int]:
        begin, end = key_bytes(begin_key), key_bytes(end_key)
        return self._look(begin, end, SPECIAL, lambda store: _size(store, begin, min(end, END)))

    def get_range_split_points(self, begin_key: bytes, end_key: bytes, chunk_size: int) -> Future[list[bytes]]:
        if chunk_size <= 0:
            raise ValueError("chunk_size must be positive")
        begin, end = key_bytes(begin_key), key_bytes(end_key)
        return self._look(begin, end, END, lambda store: _split_points(store, begin, end, chunk_size))

    def _look(self, begin: bytes, end: bytes, last: bytes, look: Callable[[Store], T]) -> Future[T]:
        """Look at a range as it is now: neither at the read version nor with own writes, nor as a conflict."""
        with self._lock:
            refusal = FDBError(INVERTED_RANGE) if begin > end else self._refusal()
        if refusal is None and end > last:
            refusal = FDBError(KEY_OUTSIDE_LEGAL_RANGE)
        if refusal is not None:
            return Future(error=refusal)
        try:
            return Future(look(self._database._store))
        except FDBError as error:
            return Future(error=error)

    # ----------------------------------------------------------------------------------------------- watches

    def watch(self, key: Any) -> Future[None]:
        """A future that is ready when the value of `key` is no longer what this transaction sees now.

        It counts from the commit on; until then it fires when this transaction writes another value.
        """
        key = key_bytes(key)
        with self._lock:
            return self._watch(key)

    def _watch(self, key: bytes) -> Future[None]:
        refusal = self._refusal() or self._watch_refusal(key)
        if refusal is not None:
            return Future(error=refusal)
        counter = self._database._watches
        try:
            known = self._attempt.knows(key)
            value = self._attempt.get(key, False)
            counter.take()
        except FDBError as error:
            return Future(error=error)
        future = WatchFuture(counter, key, value, not known)
        self._promised().watches.append(future)
        return future

    def _watch_refusal(self, key: bytes) -> FDBError | None:
        if not self._attempt.sees_writes:
            return FDBError(WATCHES_DISABLED)
        if key >= END and key != METADATA_VERSION:
            return FDBError(KEY_OUTSIDE_LEGAL_RANGE)
        return FDBError(KEY_TOO_LARGE) if len(key) > KEY_SIZE_LIMIT else None

    # ------------------------------------------------------------------------------------------------ commit

    def commit(self) -> Future[None]:
        """Make the writes, if nothing that was read has changed.

        The future fails with 1020 for a conflict, 1007 for a read version that is too old, 1021 when it
        cannot be known whether the writes were made, and with the error of any earlier read or write that
        was not legal.
        """
        with self._lock:
            prepared = self._prepare()
        return prepared if isinstance(prepared, Future) else self._send(prepared)

    def _prepare(self) -> CommitRequest | Future[None]:
        """What is to be committed, or the answer where nothing is."""
        refusal = self._refusal()
        if refusal is not None:
            return Future(error=refusal)
        self._committing = True
        self._plain = False
        if self._read_error is not None:
            return Future(error=self._read_error)
        try:
            request = self._attempt.request()
            if request is not None and not self._attempt.fits(request, self._size_limit):
                raise FDBError(TRANSACTION_TOO_LARGE)
        except FDBError as error:
            self._not_committed(error)
            return Future(error=error)
        if request is None:
            self._committed_version = NO_VERSION
            self._end_turn()
            self._committed(FDBError(NO_COMMIT_VERSION))
            return Future()
        self._contended = self._database._turns.barred(request) if self._turn is None else None
        if self._contended is not None:
            lost = Conflict(self._contended)
            self._not_committed(lost)
            return Future(error=lost)
        return request

    def _send(self, request: CommitRequest) -> Future[None]:
        store = self._database._store
        future = self._commit_future = _CommitFuture(store)

        def done(outcome: Committed | FDBError) -> None:
            if isinstance(outcome, FDBError):
                if isinstance(outcome, Conflict):
                    self._contended = outcome.key
                self._not_committed(outcome)
                future.settle(error=outcome)
            else:
                self._end_turn()
                self._committed_version = outcome.version
                self._committed(versionstamp(*outcome))
                future.settle()

        store.commit(request, done)
        self._attempt.close()
        if not future.is_ready():
            self._watch_timeout()
        return future

    def _committed(self, stamp: bytes | FDBError) -> None:
        if self._promises is not None:
            self._promises.keep(stamp, self._database._store)

    def _not_committed(self, error: FDBError) -> None:
        if self._promises is not None:
            self._promises.break_up(error)

    def get_committed_version(self) -> int:
        """The version of the commit; -1 before it, and after a commit without writes."""
        return self._committed_version

    def get_versionstamp(self) -> Key:
        """The versionstamp of the commit that is to come; to be asked for before it."""
        refusal = self._refusal()
        if refusal is not None:
            return Key(error=refusal)
        with self._lock:
            promises = self._promised()
            if promises.stamp is None:
                promises.stamp = Key(pending=True)
                self._watch_timeout()
            return promises.stamp

    def get_approximate_size(self) -> Future[int]:
        """About how many bytes a commit would have now."""
        return Future(self._attempt.size, self._deferred)


class SnapshotReader(Reader):
    """A transaction's reads, without their read conflicts."""

    __slots__ = ("_transaction",)

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction

    @property
    def db(self) -> Database:
        return self._transaction.db

    def get(self, key: Any) -> Value:
        return self._transaction._get(key_bytes(key), True)

    def get_key(self, key_selector: KeySelector) -> Key:
        return self._transaction._get_key(key_selector, True)

    def _fetch(self, request: RangeRequest) -> Future[Batch]:
        return self._transaction._fetch_batch(request, True)

    def get_read_version(self) -> Future[int]:
        return self._transaction.get_read_version()

    def get_estimated_range_size_bytes(self, begin_key: bytes, end_key: bytes) -> Future[int]:
        return self._transaction.get_estimated_range_size_bytes(begin_key, end_key)

    def get_range_split_points(self, begin_key: bytes, end_key: bytes, chunk_size: int) -> Future[list[bytes]]:
        return self._transaction.get_range_split_points(begin_key, end_key, chunk_size)


class _CommitFuture(Future[None]):
    """A commit on its way: whoever waits for it may help the store with its queue."""

    __slots__ = ("_store",)

    def __init__(self, store: Store) -> None:
        super().__init__(pending=True)
        self._store = store

    def _before_blocking(self) -> None:
        self._store.help_commit()


class _LateValue(LateRead, Value):
    """The value at a version that has not happened yet."""

    __slots__ = ()


class _LateKey(LateRead, Key):
    """A key at a version that has not happened yet."""

    __slots__ = ()


_LATE: dict[type[Future[Any]], type[LateRead]] = {Value: _LateValue, Key: _LateKey, Future: LateRead}


def _of_users(place: Place) -> Place:
    """The place, moved to the end of the users' keys if it is among FoundationDB's own, of which there are none."""
    return Place(min(place.key, END), place.offset)


def _size(store: Store, begin: bytes, end: bytes) -> int:
    snapshot = store.snapshot()
    try:
        return snapshot.size(begin, end) if begin < end else 0
    finally:
        snapshot.close()


def _split_points(store: Store, begin: bytes, end: bytes, chunk_size: int) -> list[bytes]:
    snapshot = store.snapshot()
    try:
        return split_points(snapshot, begin, end, chunk_size)
    finally:
        snapshot.close()
