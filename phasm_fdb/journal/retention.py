"""What of the journal is removed when it has become old.

The newest snapshot that is older than the retention time is where the history that is kept begins: what lies before
it goes, entries and snapshots. Where there is none, old entries go all the same, unless a younger snapshot needs them;
those that are left then tell what happened, and only from the next snapshot on can they be replayed.

Age is counted in versions, of which FoundationDB gives a million a second
(https://apple.github.io/foundationdb/developer-guide.html), so it depends on no process's clock.
"""

from __future__ import annotations

import functools
from typing import Any

from phasm_fdb.database.ranges import rows
from phasm_fdb.database.transactional import run
from phasm_fdb.database.versions import read_version
from phasm_fdb.journal.snapshot import drop, first_rows
from phasm_fdb.keyspace import Keyspace

VERSIONS_A_SECOND = 1_000_000
#: A snapshot that is not complete after so long was interrupted.
INTERRUPTED_AFTER_SECONDS = 3600


def sweep(keyspace: Keyspace, db: Any, retention_seconds: float | None, batch: int) -> int:
    """Remove what is old, and what is left of interrupted snapshots.

    Args:
        retention_seconds: how long entries and snapshots are kept at least; None for ever.
        batch: the most rows of the journal that one transaction removes.

    Returns:
        How many rows of the journal were removed.
    """
    now = run(db, read_version)
    found = run(db, lambda tr: [(version, complete) for version, complete, _ in first_rows(keyspace, tr)])
    for version, complete in found:
        if not complete and version < now - INTERRUPTED_AFTER_SECONDS * VERSIONS_A_SECOND:
            run(db, functools.partial(_drop, keyspace, version))
    if retention_seconds is None:
        return 0
    oldest = now - round(retention_seconds * VERSIONS_A_SECOND)
    base = max((version for version, complete in found if complete and version <= oldest), default=oldest)
    for version, complete in found:
        if complete and version < base:
            run(db, functools.partial(_drop, keyspace, version))
    return _remove_entries(keyspace, db, base, batch) if base > 0 else 0


def _remove_entries(keyspace: Keyspace, db: Any, through: int, batch: int) -> int:
    removed, count = 0, batch
    while count == batch:
        count = run(db, functools.partial(_remove_batch, keyspace, through, batch))
        removed += count
    return removed


def _remove_batch(keyspace: Keyspace, through: int, batch: int, tr: Any) -> int:
    # A snapshot read: nobody else writes what is as old as this.
    found = list(rows(tr.snapshot, keyspace.journal, keyspace.journal_from(through + 1), limit=batch))
    if found:
        tr.clear_range(keyspace.journal, found[-1][0] + b"\0")
    return len(found)


def _drop(keyspace: Keyspace, version: int, tr: Any) -> None:
    drop(keyspace, tr, version)
