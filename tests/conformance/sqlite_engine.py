"""The embedded engine's SQLite store as a conformance engine: each database is a new file."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from phasm_fdb.embedded import KeySelector, open_sqlite
from phasm_fdb.errors import FDBError

__all__ = ["FDBError", "KeySelector", "close_database", "open_database"]

_directories: WeakKeyDictionary[Any, tempfile.TemporaryDirectory[str]] = WeakKeyDictionary()


def open_database() -> Any:
    """A new, empty database in a file of its own; fsync is left out, as nothing here crashes."""
    directory = tempfile.TemporaryDirectory(prefix="phasm-conformance-")
    db = open_sqlite(Path(directory.name) / "db.sqlite", synchronous="normal")
    _directories[db] = directory
    return db


def close_database(db: Any) -> None:
    """Close the database and delete its file."""
    db.close()
    _directories.pop(db).cleanup()
