"""A database of which single commits and reads fail, by their number, or all of them for a while."""

from __future__ import annotations

from typing import Any

from phasm_fdb import FDBError
from phasm_fdb.embedded.future import Future


class FailingDatabase:
    """Wraps a database.

    Attributes:
        commits, reads: how many there were.
        fails_commit, fails_read: the number, from 1, of the one that fails; 0 for none.
        code: the error.
        after: whether what fails has happened all the same.
        is_away: everything fails.
    """

    def __init__(self, db: Any, code: int = 1031) -> None:
        self._db = db
        self.code = code
        self.commits = self.reads = 0
        self.fails_commit = self.fails_read = 0
        self.after = False
        self.is_away = False

    def create_transaction(self) -> Any:
        return _Transaction(self._db.create_transaction(), self)


class _Transaction:
    def __init__(self, tr: Any, failing: FailingDatabase) -> None:
        self._tr = tr
        self._failing = failing

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tr, name)

    @property
    def snapshot(self) -> Any:
        return _Snapshot(self._tr.snapshot, self._failing)

    def get(self, key: bytes) -> Any:
        return _read(self._failing) or self._tr.get(key)

    def get_range(self, *args: Any, **options: Any) -> Any:
        return _read(self._failing, in_range=True) or self._tr.get_range(*args, **options)

    def commit(self) -> Any:
        failing = self._failing
        failing.commits += 1
        if not failing.is_away and failing.commits != failing.fails_commit:
            return self._tr.commit()
        if failing.after:
            self._tr.commit().wait()
        return Future(error=FDBError(failing.code))


class _Snapshot:
    def __init__(self, snapshot: Any, failing: FailingDatabase) -> None:
        self._snapshot = snapshot
        self._failing = failing

    def __getattr__(self, name: str) -> Any:
        return getattr(self._snapshot, name)

    def get(self, key: bytes) -> Any:
        return _read(self._failing) or self._snapshot.get(key)

    def get_range(self, *args: Any, **options: Any) -> Any:
        return _read(self._failing, in_range=True) or self._snapshot.get_range(*args, **options)


def _read(failing: FailingDatabase, in_range: bool = False) -> Any:
    """What a read that fails gives; None for one that does not."""
    failing.reads += 1
    if not failing.is_away and failing.reads != failing.fails_read:
        return None
    if in_range:
        raise FDBError(failing.code)
    return Future(error=FDBError(failing.code))
