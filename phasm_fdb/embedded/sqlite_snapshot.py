"""A snapshot of an SQLite file: only a number, the version that it reads."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from phasm_fdb.embedded.sqlite_reader import Reader
from phasm_fdb.embedded.sqlite_rows import Pair
from phasm_fdb.embedded.store import WINDOW_VERSIONS
from phasm_fdb.error_codes import TRANSACTION_TOO_OLD
from phasm_fdb.errors import FDBError


class SqliteSnapshot:
    """The database at one version; see `Snapshot` of the store's protocol.

    A new snapshot has no version until one is needed: the first `get` finds it in the statement that reads the
    value, and saves a statement for every transaction.

    Args:
        reader: of the file.
        now: the time, in versions.
        read_version: the version of a read, given that of the newest commit that it sees.
        version: None for the newest one when it is first needed.
        taken_at: when the five seconds began, in versions.
    """

    __slots__ = ("_now", "_read_version", "_reader", "_resolving", "_version", "taken_at")

    def __init__(
        self,
        reader: Reader,
        now: Callable[[], int],
        read_version: Callable[[int], int],
        version: int | None,
        taken_at: int,
    ) -> None:
        self._reader = reader
        self._now = now
        self._read_version = read_version
        self._version = version
        self._resolving = threading.Lock()
        self.taken_at = taken_at

    @property
    def version(self) -> int:
        if self._version is None:
            with self._resolving:
                if self._version is None:
                    self._version = self._read_version(self._reader.latest())
        return self._version

    def get(self, key: bytes, /) -> bytes | None:
        self._require_young()
        reader = self._reader
        if self._version is None:
            with self._resolving:
                if self._version is None:
                    value, latest = reader.current(key)
                    self._version = self._read_version(latest)
                    return value
        value, latest = reader.current(key)
        return value if latest <= self._version else reader.old_value(self._version, key, value)

    def range(self, begin: bytes, end: bytes, limit: int, reverse: bool, /) -> Sequence[Pair]:
        self._require_young()
        return self._reader.range(self.version, begin, end, limit, reverse)

    def size(self, begin: bytes, end: bytes, /) -> int:
        self._require_young()
        return self._reader.size(begin, end)

    def close(self) -> None:
        """Nothing is held."""

    def _require_young(self) -> None:
        if self._now() - self.taken_at > WINDOW_VERSIONS:
            raise FDBError(TRANSACTION_TOO_OLD)
