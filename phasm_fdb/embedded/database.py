"""The database: creates transactions, and has FoundationDB's direct calls, each a transaction of its own,
retried.
"""

from __future__ import annotations

import random as random_module
import time
from collections.abc import Callable
from typing import Any, TypeVar

from phasm_fdb.embedded.aliases import add_aliases
from phasm_fdb.embedded.future import Future, Key
from phasm_fdb.embedded.limits import StreamingMode
from phasm_fdb.embedded.options import DatabaseOptions
from phasm_fdb.embedded.selector import KeySelector, KeyValue
from phasm_fdb.embedded.settings import Settings
from phasm_fdb.embedded.store import Store
from phasm_fdb.embedded.timing import CallLater, Time, call_in_thread
from phasm_fdb.embedded.transaction import Transaction
from phasm_fdb.embedded.turns import Turns
from phasm_fdb.embedded.watch import WatchCounter
from phasm_fdb.errors import FDBError

T = TypeVar("T")


class Database:
    """A database on a store. May be used by several threads, each with transactions of its own.

    Args:
        store: what holds the data; the database closes it.
        clock: seconds, never going back; for timeouts.
        sleep: blocks until the clock has moved on so many seconds; for the delays of retries.
        random: a number from 0 up to 1, for the delays of retries.
        call_later: `call_later(seconds, callback)`; used where somebody wants to be called, not to block.
    """

    def __init__(
        self,
        store: Store,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        random: Callable[[], float] = random_module.random,
        call_later: CallLater = call_in_thread,
    ) -> None:
        self._store = store
        self._time = Time(clock, sleep, call_later)
        self._random = random
        self._settings = Settings()
        self._watches = WatchCounter()
        self._turns = Turns(self._time)

    @property
    def options(self) -> DatabaseOptions:
        """What can be set, as `set_*` methods."""
        return DatabaseOptions(self)

    def create_transaction(self) -> Transaction:
        """A new transaction."""
        return Transaction(self)

    def get_client_status(self) -> Key:
        """How the client is, as JSON; an embedded one is healthy."""
        return Key(b'{"Healthy":true}')

    def close(self) -> None:
        """Close the store. Watches fail with 1025; transactions cannot be used any more."""
        self._store.close()

    def _run(self, work: Callable[[Transaction], T]) -> T:
        """Do `work` in a transaction, again and again until it is committed or fails for good."""
        transaction = self.create_transaction()
        while True:
            try:
                result = work(transaction)
                transaction.commit().wait()
                return result
            except FDBError as error:
                transaction.on_error(error).wait()

    # ------------------------------------------------------------------------------------------------- reads

    def get(self, key: Any) -> bytes | None:
        """The value at `key`, or None."""
        found: bytes | None = self._run(lambda tr: tr.get(key).value)
        return found

    def get_key(self, key_selector: KeySelector) -> bytes:
        """The key that a selector names."""
        found: bytes = self._run(lambda tr: tr.get_key(key_selector).value)
        return found

    def get_range(
        self,
        begin: Any,
        end: Any,
        limit: int = 0,
        reverse: bool = False,
        streaming_mode: int = StreamingMode.want_all,
    ) -> list[KeyValue]:
        """The rows of a range, as `Transaction.get_range`."""
        return self._run(lambda tr: tr.get_range(begin, end, limit, reverse, streaming_mode).to_list())

    def get_range_startswith(self, prefix: Any, *args: Any, **kwargs: Any) -> list[KeyValue]:
        """The rows whose keys start with `prefix`."""
        return self._run(lambda tr: tr.get_range_startswith(prefix, *args, **kwargs).to_list())

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, slice):
            return self.get_range(key.start, key.stop, reverse=key.step == -1)
        return self.get(key)

    # ------------------------------------------------------------------------------------------------ writes

    def set(self, key: Any, value: Any) -> None:
        """Write `value` at `key`."""
        self._run(lambda tr: tr.set(key, value))

    def clear(self, key: Any) -> None:
        """Remove `key`."""
        self._run(lambda tr: tr.clear(key))

    def clear_range(self, begin: Any, end: Any) -> None:
        """Remove every key from `begin` to before `end`."""
        self._run(lambda tr: tr.clear_range(begin, end))

    def clear_range_startswith(self, prefix: Any) -> None:
        """Remove every key that starts with `prefix`."""
        self._run(lambda tr: tr.clear_range_startswith(prefix))

    def __setitem__(self, key: Any, value: Any) -> None:
        self.set(key, value)

    def __delitem__(self, key: Any) -> None:
        if isinstance(key, slice):
            self.clear_range(key.start, key.stop)
        else:
            self.clear(key)

    # ------------------------------------------------------------------------------------- atomic operations

    def add(self, key: Any, param: Any) -> None:
        """`Transaction.add`, in a transaction of its own."""
        self._run(lambda tr: tr.add(key, param))

    def bit_and(self, key: Any, param: Any) -> None:
        """`Transaction.bit_and`, in a transaction of its own."""
        self._run(lambda tr: tr.bit_and(key, param))

    def bit_or(self, key: Any, param: Any) -> None:
        """`Transaction.bit_or`, in a transaction of its own."""
        self._run(lambda tr: tr.bit_or(key, param))

    def bit_xor(self, key: Any, param: Any) -> None:
        """`Transaction.bit_xor`, in a transaction of its own."""
        self._run(lambda tr: tr.bit_xor(key, param))

    def append_if_fits(self, key: Any, param: Any) -> None:
        """`Transaction.append_if_fits`, in a transaction of its own."""
        self._run(lambda tr: tr.append_if_fits(key, param))

    def max(self, key: Any, param: Any) -> None:
        """`Transaction.max`, in a transaction of its own."""
        self._run(lambda tr: tr.max(key, param))

    def min(self, key: Any, param: Any) -> None:
        """`Transaction.min`, in a transaction of its own."""
        self._run(lambda tr: tr.min(key, param))

    def byte_max(self, key: Any, param: Any) -> None:
        """`Transaction.byte_max`, in a transaction of its own."""
        self._run(lambda tr: tr.byte_max(key, param))

    def byte_min(self, key: Any, param: Any) -> None:
        """`Transaction.byte_min`, in a transaction of its own."""
        self._run(lambda tr: tr.byte_min(key, param))

    def compare_and_clear(self, key: Any, param: Any) -> None:
        """`Transaction.compare_and_clear`, in a transaction of its own."""
        self._run(lambda tr: tr.compare_and_clear(key, param))

    def set_versionstamped_key(self, key: Any, param: Any) -> None:
        """`Transaction.set_versionstamped_key`, in a transaction of its own."""
        self._run(lambda tr: tr.set_versionstamped_key(key, param))

    def set_versionstamped_value(self, key: Any, param: Any) -> None:
        """`Transaction.set_versionstamped_value`, in a transaction of its own."""
        self._run(lambda tr: tr.set_versionstamped_value(key, param))

    # ----------------------------------------------------------------------------------------------- watches

    def get_and_watch(self, key: Any) -> tuple[Any, Future[None]]:
        """The value at `key`, and a watch for the next one."""

        def work(tr: Transaction) -> tuple[Any, Future[None]]:
            return tr.get(key), tr.watch(key)

        return self._run(work)

    def set_and_watch(self, key: Any, value: Any) -> Future[None]:
        """Write `value` at `key`, and watch for the next one."""

        def work(tr: Transaction) -> Future[None]:
            tr.set(key, value)
            return tr.watch(key)

        return self._run(work)

    def clear_and_watch(self, key: Any) -> Future[None]:
        """Remove `key`, and watch for a value."""

        def work(tr: Transaction) -> Future[None]:
            tr.clear(key)
            return tr.watch(key)

        return self._run(work)


add_aliases(Database)
