"""A database that counts how the transactions on it failed."""

from __future__ import annotations

from collections import Counter
from typing import Any

from phasm_fdb.database.transactional import error_code


class CountingDatabase:
    """Any database, with a count of the errors that its retry loops were given.

    Attributes:
        codes: how often each FoundationDB code came.
    """

    def __init__(self, db: Any) -> None:
        self._db = db
        self.codes: Counter[int | None] = Counter()

    def create_transaction(self) -> Any:
        return _Counted(self._db.create_transaction(), self.codes)


class _Counted:
    def __init__(self, tr: Any, codes: Counter[int | None]) -> None:
        self._tr = tr
        self._codes = codes

    def on_error(self, error: Any) -> Any:
        self._codes[error if isinstance(error, int) else error_code(error)] += 1
        return self._tr.on_error(error)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tr, name)
