"""What a transaction has promised before its commit: the versionstamp, and its watches.

They fail when the transaction is dropped without a commit. Few transactions promise anything, so it is not the
transaction itself that has the destructor: Python drops an exception that a signal raises in one, and a Ctrl-C with it.
"""

from __future__ import annotations

from phasm_fdb.embedded.future import Key
from phasm_fdb.embedded.store import Store
from phasm_fdb.embedded.watch import WatchFuture
from phasm_fdb.error_codes import TRANSACTION_CANCELLED, TRANSACTION_INVALID_VERSION
from phasm_fdb.errors import FDBError


class Promises:
    """The promises of one attempt.

    Attributes:
        stamp: the versionstamp of the commit, if somebody has asked for it.
        watches: those that no commit has handed to the store, and that have not fired.
    """

    __slots__ = ("stamp", "watches")

    def __init__(self) -> None:
        self.stamp: Key | None = None
        self.watches: list[WatchFuture] = []

    def __del__(self) -> None:
        self.fail(FDBError(TRANSACTION_CANCELLED))

    def fail(self, error: FDBError) -> None:
        """Fail them all."""
        self._fail_stamp(error)
        self._fail_watches(self.watches, error)

    def fail_used(self, error: FDBError, committing: bool) -> None:
        """The transaction cannot be used any more: fail what waits for it, not what waits for its commit or its end."""
        self._fail_stamp(error)
        if not committing:
            self._fail_watches([watch for watch in self.watches if watch.was_read], error)

    def fire(self, watch: WatchFuture) -> None:
        """The transaction itself has written another value."""
        watch.settle()
        self.watches.remove(watch)

    def keep(self, stamp: bytes | FDBError, store: Store) -> None:
        """The transaction has committed: tell the versionstamp, or why there is none, and let the store watch."""
        if isinstance(stamp, FDBError):
            self._fail_stamp(stamp)
        elif self.stamp is not None:
            self.stamp.settle(stamp)
        while self.watches:
            self.watches[0].register(store)
            del self.watches[0]

    def break_up(self, error: FDBError) -> None:
        """The transaction has not committed."""
        self._fail_stamp(FDBError(TRANSACTION_INVALID_VERSION))
        self._fail_watches(self.watches, error)

    def _fail_stamp(self, error: FDBError) -> None:
        if self.stamp is not None:
            self.stamp.settle(error=error)

    def _fail_watches(self, watches: list[WatchFuture], error: FDBError) -> None:
        for watch in list(watches):
            watch.settle(error=error)
            self.watches.remove(watch)
