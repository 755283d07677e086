"""The embedded engine's SQLite store as a conformance engine.

Making a file syncs it and its directory, which takes longer than most cases. So a database that is given back is
emptied and handed out again: to a case it is as good as new.

Its clocks move on by ten microseconds whenever they are looked at, as that of the memory store does, so no transaction
gets too old because the machine is busy.
"""

from __future__ import annotations

import atexit
import itertools
import tempfile
from pathlib import Path
from typing import Any

from phasm_fdb.embedded import KeySelector, open_sqlite
from phasm_fdb.errors import FDBError

__all__ = ["FDBError", "KeySelector", "close_database", "open_database"]

TICK_SECONDS = 1e-5

_idle: list[Any] = []
_directories: list[tempfile.TemporaryDirectory[str]] = []


def open_database() -> Any:
    """An empty database in a file of its own. Its `on_error` does not sleep, and its commits do not sync."""
    if _idle:
        return _idle.pop()
    directory = tempfile.TemporaryDirectory(prefix="phasm-conformance-")
    _directories.append(directory)
    looks = itertools.count()

    def clock() -> float:
        return next(looks) * TICK_SECONDS

    return open_sqlite(
        Path(directory.name) / "db.sqlite",
        synchronous="normal",
        wall_clock=clock,
        clock=clock,
        sleep=lambda seconds: None,
    )


def close_database(db: Any) -> None:
    """Empty the database, for the next case."""
    db.clear_range(b"", b"\xff")
    _idle.append(db)


@atexit.register
def _remove() -> None:
    for db in _idle:
        db.close()
    for directory in _directories:
        directory.cleanup()
