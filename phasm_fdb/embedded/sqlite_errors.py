"""What SQLite's errors mean to someone who uses FoundationDB: a code, and a sentence that says what to do.

A retry helps only where another process holds the lock for too long; the disk, the permissions and the file
itself are matters for the person who runs the program, so those codes are not retryable, also where nobody knows
whether the commit happened.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from phasm_fdb.error_codes import (
    COMMIT_UNKNOWN_RESULT,
    FILE_CORRUPT,
    FILE_NOT_FOUND,
    FILE_NOT_WRITABLE,
    INTERNAL_ERROR,
    IO_ERROR,
    NOT_COMMITTED,
    PROCESS_BEHIND,
)
from phasm_fdb.errors import FDBError

_PRIMARY = 0xFF
"""The extended result codes of SQLite carry the primary code in their low byte."""

_LOCKED = frozenset((sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED))
_CORRUPT = frozenset((sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB))
_NO_ROOM = frozenset((sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE))


def primary_code(error: sqlite3.Error) -> int:
    """SQLite's primary result code (`SQLITE_FULL`, ...), or -1 for an error of the Python module itself."""
    code: int = getattr(error, "sqlite_errorcode", -1)
    return code & _PRIMARY if code >= 0 else code


def is_locked(error: sqlite3.Error) -> bool:
    """Whether another connection holds a lock that this call needed."""
    return primary_code(error) in _LOCKED


def is_unwritten(error: sqlite3.Error) -> bool:
    """Whether a write to the log failed, for want of room (ENOSPC) or otherwise (EFBIG, EDQUOT, EIO).

    That cuts the log short of the commit's last frame, so the commit did not happen, and a recovery will not find it.
    """
    return getattr(error, "sqlite_errorcode", -1) in _NO_ROOM


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

    After any error but that of a write the commit's frames may be whole in the log, where a recovery would find them,
    whatever the database shows now. That is FoundationDB's 1021; but where the disk has failed to sync, trying again
    would not help (https://lwn.net/Articles/752063/), and the error is the disk's, with its outcome unknown.
    """
    if is_unwritten(error):
        return write_error(error, path)
    if primary_code(error) != sqlite3.SQLITE_IOERR:
        return FDBError(COMMIT_UNKNOWN_RESULT, f"{path}: {error}")
    unknown = FDBError(
        IO_ERROR,
        f"the disk of {path} failed in the commit ({_in_words(error)}), which may have happened or not: see the "
        "system's log, and when the disk is sound, ask again under the same request id",
    )
    unknown.outcome_unknown = True
    return unknown


def damaged_row(path: Path, key: bytes) -> FDBError:
    """What is stored under a key is not what was written there."""
    return FDBError(
        FILE_CORRUPT,
        f"{path} is damaged: what is stored under the key {key!r} is not what was written (its checksum is wrong); "
        "restore the file from a backup, or clear or overwrite the key",
    )


def missing_file(path: Path) -> FDBError:
    """The file under the database is not the one that was opened."""
    return FDBError(
        FILE_NOT_FOUND,
        f"{path} was deleted or replaced while it was open: nothing more is written; open the database again",
    )


def missing_log(path: Path) -> FDBError:
    """The log or its index is not the one that was written to before."""
    return FDBError(
        FILE_NOT_FOUND,
        f"the log of {path} ({path.name}-wal or {path.name}-shm) was deleted or replaced while the database was open: "
        "nothing more is written; close it in every process, this one first, and open it again",
    )


def cut_log(path: Path) -> FDBError:
    """The log has become shorter than it was."""
    return FDBError(
        FILE_NOT_FOUND,
        f"the log of {path} ({path.name}-wal) was cut short, or removed, while the database was open, and commits that "
        "were in it alone may be lost: nothing more is written; close the database in every process and open it again "
        "to go on from what is left, or restore a backup",
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
    if getattr(error, "sqlite_errorcode", -1) == sqlite3.SQLITE_IOERR_SHORT_READ:
        return cut_log(path)
    if code == sqlite3.SQLITE_IOERR:
        return FDBError(
            IO_ERROR,
            f"reading or writing {path}, or its log, failed ({_in_words(error)}): is there a limit to the size of "
            "files (ulimit -f) or a quota, or does the disk fail? See the system's log",
        )
    return FDBError(INTERNAL_ERROR, f"{path}: {type(error).__name__}: {error}")


def _in_words(error: sqlite3.Error) -> str:
    """SQLite's message and the name of its extended code, which says what failed."""
    name = getattr(error, "sqlite_errorname", "")
    return f"{error}, {name}" if name else str(error)
