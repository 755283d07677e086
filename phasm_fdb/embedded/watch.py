"""Watches: futures that are ready when the value of a key is not any more what it was.

Until its transaction commits, a watch belongs to the transaction: it fires when the transaction itself writes
another value, and fails when the transaction is dropped or reset. From the commit on the store looks after
it.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from typing import Any

from phasm_fdb.embedded.future import Future
from phasm_fdb.embedded.store import Store, Watch
from phasm_fdb.error_codes import TOO_MANY_WATCHES
from phasm_fdb.errors import FDBError

DEFAULT_MAX_WATCHES = 10_000
MOST_WATCHES = 1_000_000


class WatchCounter:
    """Bounds the watches of a database, and keeps those alive that somebody wants to be called by."""

    __slots__ = ("_listening", "_lock", "_open", "most")

    def __init__(self) -> None:
        # Reentrant: a garbage collection in here may destroy a watch, which comes back to `give_back`.
        self._lock = threading.RLock()
        self._open = 0
        self._listening: set[WatchFuture] = set()
        self.most = DEFAULT_MAX_WATCHES

    def take(self) -> None:
        """Count one watch more.

        Raises:
            FDBError: 1032 when there are as many as there may be.
        """
        with self._lock:
            if self._open >= self.most:
                raise FDBError(TOO_MANY_WATCHES)
            self._open += 1

    def give_back(self, future: WatchFuture | None) -> None:
        """Count one watch less; `future` is the one that ended, unless it is being destroyed."""
        with self._lock:
            self._open -= 1
            if future is not None:
                self._listening.discard(future)

    def forget(self, future: WatchFuture) -> None:
        """Let go of a future that `keep` held."""
        with self._lock:
            self._listening.discard(future)

    def keep(self, future: WatchFuture) -> None:
        """Hold on to a future until it ends, though its user may not."""
        with self._lock:
            self._listening.add(future)


class WatchFuture(Future[None]):
    """The future of one watch.

    Args:
        counter: where the watch is counted already.
        key: what is watched.
        value: what the transaction saw there.
        was_read: whether the database had to be read for it. In FoundationDB that read is on its way for a
            while, and when its transaction is cancelled meanwhile, so is the watch; one whose value the
            transaction knew waits on, until the transaction is reset or dropped. Here the while lasts until
            the commit.
    """

    __slots__ = ("_counter", "_registered", "key", "value", "was_read")

    def __init__(self, counter: WatchCounter, key: bytes, value: bytes | None, was_read: bool) -> None:
        super().__init__(pending=True)
        self._counter = counter
        self._registered: Watch | None = None
        self.key = key
        self.value = value
        self.was_read = was_read

    def register(self, store: Store) -> None:
        """The transaction has committed: let the store fire it."""
        if self._waiting is None:
            return
        # The store holds the future weakly: a watch that nobody can wait for any more is dropped.
        weak = weakref.ref(self)

        def fired(error: FDBError | None) -> None:
            future = weak()
            if future is not None:
                future.settle(error=error)

        self._registered = store.watch(self.key, self.value, fired)
        if self._waiting is None:
            self._registered.cancel()

    def settle(self, result: None = None, error: FDBError | None = None) -> bool:
        if not super().settle(result, error):
            return False
        self._counter.give_back(self)
        if self._registered is not None:
            self._registered.cancel()
        return True

    def on_ready(self, callback: Callable[[Any], None], /) -> None:
        if self._waiting is not None:
            self._counter.keep(self)
        super().on_ready(callback)
        if self._waiting is None:
            self._counter.forget(self)

    def __del__(self) -> None:
        if self._waiting is not None:
            self._counter.give_back(None)
            if self._registered is not None:
                self._registered.cancel()
