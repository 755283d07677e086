"""What SQLite's errors mean to someone who uses FoundationDB: a code, and a sentence that says what to do.

A retry helps only where another process holds the lock for too long; the disk, the permissions and the file
itself are matters for the person who runs the program, so those codes are not retryable.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from phasm_fdb.errors import FDBError

NOT_COMMITTED = 1020
COMMIT_UNKNOWN_RESULT = 1021
OPERATION_CANCELLED = 1025
PROCESS_BEHIND = 1037
IO_ERROR = 1510
FILE_NOT_FOUND = 1511
FILE_NOT_WRITABLE = 1514
FILE_CORRUPT = 1522
INTERNAL_ERROR = 4100

_PRIMARY = 0xFF
"""The extended result codes of SQLite carry the primary code in their low byte."""

_LOCKED = frozenset((sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED))
_CORRUPT = frozenset((sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB))


def primary_code(error: sqlite3.Error) -> int:
    """SQLite's primary result code (`SQLITE_FULL`, ...), or -1 for an error of the Python module itself."""
    code: int = getattr(error, "sqlite_errorcode", -1)
    return code & _PRIMARY if code >= 0 else code


def is_locked(error: sqlite3.Error) -> bool:
    """Whether another connection holds a lock that this call needed."""
    return primary_code(error) in _LOCKED


def is_disk_full(error: sqlite3.Error) -> bool:
    """Whether there was no room for the write."""
    return primary_code(error) == sqlite3.SQLITE_FULL


def read_error(error: sqlite3.Error, path: Path) -> FDBError:
    """What a failed read raises. Nothing was written, so a lock is worth a retry (1037)."""
    if is_locked(error):
        return FDBError(PROCESS_BEHIND, f"{path} is locked by another process")
    return _lasting_error(error, path)


def write_error(error: sqlite3.Error, path: Path) -> FDBError:
    """What a commit is told that failed before its COMMIT: nothing was written, so a lock is 1020."""
    if is_locked(error):
        return FDBError(NOT_COMMITTED, f"{path} is locked by another process")
    return _lasting_error(error, path)


def commit_error(error: sqlite3.Error, path: Path) -> FDBError:
    """What a commit is told whose COMMIT statement failed.

    A full disk cuts the write-ahead log short of the commit's last frame, so the commit did not happen and a
    recovery will not find it. After any other error the frames may be whole in the log, where a recovery
    would find them: that is FoundationDB's 1021, whatever the database shows now.
    """
    if is_disk_full(error):
        return write_error(error, path)
    return FDBError(COMMIT_UNKNOWN_RESULT, f"{path}: {error}")


def missing_file(path: Path) -> FDBError:
    """The file under the database is not the one that was opened."""
    return FDBError(
        FILE_NOT_FOUND,
        f"{path} was deleted or replaced while it was open: nothing more is written; open the database again",
    )


def _lasting_error(error: sqlite3.Error, path: Path) -> FDBError:
    code = primary_code(error)
    if code == sqlite3.SQLITE_FULL:
        return FDBError(IO_ERROR, f"the disk of {path} is full: nothing was written; make room and try again")
    if code == sqlite3.SQLITE_READONLY:
        return FDBError(
            FILE_NOT_WRITABLE, f"{path} is read-only: give this user write permission to it and its directory"
        )
    if code in _CORRUPT:
        return FDBError(FILE_CORRUPT, f"{path} is damaged ({error}): restore it from a backup")
    if code == sqlite3.SQLITE_CANTOPEN:
        return FDBError(FILE_NOT_FOUND, f"{path} cannot be opened ({error}): was it, or its directory, moved?")
    if code == sqlite3.SQLITE_IOERR:
        return FDBError(IO_ERROR, f"reading or writing {path} failed ({error}): see the system's log")
    return FDBError(INTERNAL_ERROR, f"{path}: {type(error).__name__}: {error}")
