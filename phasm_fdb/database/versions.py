"""About which version a database is at: a clock that all its clients share, whatever their own clocks say.

FoundationDB's versions grow by about a million a second, and by a hundred million more when a cluster recovers
(https://apple.github.io/foundationdb/developer-guide.html#how-foundationdb-implements-transactions).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

from phasm_fdb.database.transactional import run
from phasm_fdb.database.waiting import wait

VERSIONS_PER_SECOND = 1_000_000
#: How long an answer serves before the database is asked again.
MAX_AGE_SECONDS = 300.0


class RecentVersions:
    """Remembers a recent version of each database, so that nearly nobody has to wait for one.

    Args:
        monotonic: a time in seconds that never goes back.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._known: WeakKeyDictionary[Any, tuple[int, float]] = WeakKeyDictionary()

    def of(self, db: Any) -> int:
        """Give a version that the database was at in the last `MAX_AGE_SECONDS`; asks for it if none is known."""
        now = self._monotonic()
        known = self._known.get(db)
        if known is None or now - known[1] > MAX_AGE_SECONDS:
            known = self._known[db] = run(db, read_version), now
        return known[0]


def read_version(tr: Any) -> int:
    """Give the version that a transaction reads at."""
    version: int = wait(tr.get_read_version())
    return version
