"""The embedded engine's memory store as a conformance engine."""

from __future__ import annotations

from typing import Any

from phasm_fdb.embedded import KeySelector, open_memory
from phasm_fdb.errors import FDBError

__all__ = ["FDBError", "KeySelector", "close_database", "open_database"]


def open_database() -> Any:
    """A new, empty database."""
    return open_memory()


def close_database(db: Any) -> None:
    """Drop the database."""
    db.close()
