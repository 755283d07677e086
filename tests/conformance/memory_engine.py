"""The embedded engine's memory store as a conformance engine.

Its clock moves on by ten microseconds whenever it is looked at, so that no answer depends on how fast the machine is.
"""

from __future__ import annotations

import itertools
from typing import Any

from phasm_fdb.embedded import KeySelector, open_memory
from phasm_fdb.errors import FDBError

__all__ = ["FDBError", "KeySelector", "close_database", "open_database"]

TICK_SECONDS = 1e-5


def open_database() -> Any:
    """A new, empty database. Its `on_error` does not sleep."""
    looks = itertools.count()
    return open_memory(clock=lambda: next(looks) * TICK_SECONDS, sleep=lambda seconds: None)


def close_database(db: Any) -> None:
    """Drop the database."""
    db.close()
