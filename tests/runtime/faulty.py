"""A database whose commits fail as a cluster's do: conflicts, and commits of which nobody knows."""

from __future__ import annotations

import random
from typing import Any

from phasm_fdb import FDBError

NOT_COMMITTED = 1020
COMMIT_UNKNOWN_RESULT = 1021


class FaultyDatabase:
    """Wraps a database; while `rate` is not 0, that share of commits goes wrong."""

    def __init__(self, db: Any, chance: random.Random) -> None:
        self._db = db
        self.chance = chance
        self.rate = 0.0
        self.faults = 0

    def create_transaction(self) -> Any:
        return _FaultyTransaction(self._db.create_transaction(), self)


class _FaultyTransaction:
    def __init__(self, tr: Any, faults: FaultyDatabase) -> None:
        self._tr = tr
        self._faults = faults

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tr, name)

    def commit(self) -> Any:
        faults = self._faults
        if faults.chance.random() >= faults.rate:
            return self._tr.commit()
        faults.faults += 1
        kind = faults.chance.randrange(3)
        if kind == 0:
            raise FDBError(NOT_COMMITTED)
        if kind == 1:
            self._tr.commit().wait()
        raise FDBError(COMMIT_UNKNOWN_RESULT)
