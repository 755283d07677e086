"""The `options` objects of a transaction and of a database, with a `set_*` method for each option.

Options that make no difference to one machine are taken and ignored; those whose effect cannot be had are
refused with 2108, so that nobody relies on them (see `settings`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from phasm_fdb.embedded.settings import LARGEST_SIZE, SMALLEST_SIZE_LIMIT, checked, other_option
from phasm_fdb.embedded.watch import MOST_WATCHES

if TYPE_CHECKING:
    from phasm_fdb.embedded.database import Database
    from phasm_fdb.embedded.lifecycle import Lifecycle


class TransactionOptions:
    """Options of one transaction. A wrong value is reported like a wrong write: by the next read or the
    commit.

    `set_timeout`, `set_retry_limit` and `set_max_retry_delay` hold until `reset`; the others until
    `on_error` too.
    """

    __slots__ = ("_transaction",)

    def __init__(self, transaction: Lifecycle) -> None:
        self._transaction = transaction

    def set_timeout(self, milliseconds: int) -> None:
        """Fail the transaction (1031) this long after it began or was last reset; 0 is never."""
        self._transaction._defer(lambda tr: tr._set_timeout(checked(milliseconds, 0)))

    def set_retry_limit(self, retries: int) -> None:
        """Let `on_error` retry at most so many times; -1 is without end."""

        def apply(tr: Lifecycle) -> None:
            tr._settings = replace(tr._settings, retry_limit=checked(retries, -1))

        self._transaction._defer(apply)

    def set_max_retry_delay(self, milliseconds: int) -> None:
        """Let `on_error` wait at most so long."""

        def apply(tr: Lifecycle) -> None:
            tr._settings = replace(tr._settings, max_retry_delay=checked(milliseconds, 0))

        self._transaction._defer(apply)

    def set_size_limit(self, size: int) -> None:
        """Refuse to commit (2101) more than so many bytes."""

        def apply(tr: Lifecycle) -> None:
            tr._size_limit = checked(size, SMALLEST_SIZE_LIMIT, LARGEST_SIZE)

        self._transaction._defer(apply)

    def set_read_your_writes_disable(self) -> None:
        """Read the database alone; only before the first read or write (2000)."""
        self._transaction._defer(lambda tr: tr._disable_read_your_writes())

    def set_snapshot_ryw_enable(self) -> None:
        """Let snapshot reads see own writes; undoes one `set_snapshot_ryw_disable`."""
        self._transaction._defer(lambda tr: tr._count_snapshot_ryw(1))

    def set_snapshot_ryw_disable(self) -> None:
        """Let snapshot reads not see own writes."""
        self._transaction._defer(lambda tr: tr._count_snapshot_ryw(-1))

    def set_next_write_no_write_conflict_range(self) -> None:
        """Let the next write be no write conflict."""
        self._transaction._defer(lambda tr: tr._skip_next_write_conflict())

    def set_used_during_commit_protection_disable(self) -> None:
        """Let a commit go on when the transaction is used meanwhile, which fails all the same."""

        def apply(tr: Lifecycle) -> None:
            tr._settings = replace(tr._settings, protects_commit=False)

        self._transaction._defer(apply)

    def set_read_system_keys(self) -> None:
        """Let FoundationDB's own keys, from `b"\\xff"` on, be read; this engine has none of them."""
        self._transaction._defer(lambda tr: tr._read_system_keys())

    def set_debug_transaction_identifier(self, identifier: str | bytes) -> None:
        """Name the transaction for logs, in 1 to 100 characters (else 2006); it cannot be changed (2000)."""
        self._transaction._defer(lambda tr: tr._identify(identifier))

    def set_log_transaction(self) -> None:
        """Needs an identifier (2000); this engine logs nothing."""
        self._transaction._defer(lambda tr: tr._require_identifier())

    def set_bypass_unreadable(self) -> None:
        """Read versionstamped keys as placeholders instead of failing (1036)."""
        self._transaction._defer(lambda tr: tr._bypass_unreadable())

    def __getattr__(self, name: str) -> Callable[..., None]:
        return other_option("transaction", name)


class DatabaseOptions:
    """Options of a database: defaults for the transactions that it creates from then on."""

    __slots__ = ("_database",)

    def __init__(self, database: Database) -> None:
        self._database = database

    def _change(self, **changes: Any) -> None:
        self._database._settings = replace(self._database._settings, **changes)

    def set_transaction_timeout(self, milliseconds: int) -> None:
        """The default of `set_timeout`."""
        self._change(timeout=checked(milliseconds, 0))

    def set_transaction_retry_limit(self, retries: int) -> None:
        """The default of `set_retry_limit`."""
        self._change(retry_limit=checked(retries, -1))

    def set_transaction_max_retry_delay(self, milliseconds: int) -> None:
        """The default of `set_max_retry_delay`."""
        self._change(max_retry_delay=checked(milliseconds, 0))

    def set_transaction_size_limit(self, size: int) -> None:
        """The default of `set_size_limit`."""
        self._change(size_limit=checked(size, SMALLEST_SIZE_LIMIT, LARGEST_SIZE))

    def set_transaction_bypass_unreadable(self) -> None:
        """The default of `set_bypass_unreadable`."""
        self._change(bypass_unreadable=True)

    def set_snapshot_ryw_enable(self) -> None:
        """Let snapshot reads see own writes, where the transaction does not say otherwise."""
        self._change(snapshot_ryw=self._database._settings.snapshot_ryw + 1)

    def set_snapshot_ryw_disable(self) -> None:
        """Let snapshot reads not see own writes, where the transaction does not say otherwise."""
        self._change(snapshot_ryw=self._database._settings.snapshot_ryw - 1)

    def set_transaction_used_during_commit_protection_disable(self) -> None:
        """The default of `set_used_during_commit_protection_disable`."""
        self._change(protects_commit=False)

    def set_max_watches(self, most: int) -> None:
        """How many watches may be open at once; one more fails with 1032."""
        self._database._watches.most = checked(most, 0, MOST_WATCHES)

    def __getattr__(self, name: str) -> Callable[..., None]:
        return other_option("database", name)
