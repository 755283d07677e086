"""The database file: its tables, how one is made, and whether a file that is there already is one of ours.

A new file is built under another name and linked into place, so it appears whole or not at all: a file that is
empty, or stops in the middle, has been damaged. Opening looks at the first page, at the length, and reads one
path through each table; a small file is checked page by page, a large one only on request. Nothing is written
to a file before all of that has passed.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import struct
import uuid
from pathlib import Path
from typing import NoReturn

from phasm_fdb.embedded.sqlite_errors import is_locked
from phasm_fdb.embedded.sqlite_log import make_mark, require_own_log
from phasm_fdb.embedded.sqlite_rows import BareRows, Rows, SummedRows
from phasm_fdb.embedded.store import VERSIONS_PER_SECOND
from phasm_fdb.errors import DatabaseError, FDBError

MAGIC = b"SQLite format 3\0"
APPLICATION_ID = 0x7068736D
"""`phsm`, in the four bytes that SQLite's header has for the application."""
FORMAT_VERSION = 2
"""Kept in SQLite's user_version: which tables a new file has, and what is in them. Format 1 is without the checksums of
`sqlite_rows` and the mark of `sqlite_log`, and a file of it goes on so.
"""
READ_VERSIONS = (1, 2)

OPEN_SECONDS = 5.0
"""How long opening waits while another process recovers the log after a crash, or looks at the file."""

PAGE_SIZE = 4096
ALWAYS_CHECKED_BYTES = 4 * 1024 * 1024
"""Files up to this length get `quick_check` at every open: some 10 ms."""

_HEADER_LENGTH = 100
_PAGE_SIZE_AT, _PAGE_COUNT_AT, _USER_VERSION_AT, _APPLICATION_ID_AT = 16, 28, 60, 68
_WAL_HEADER_LENGTH, _FRAME_HEADER_LENGTH = 32, 24

FIRST_VERSION = 10_000_000
"""The version of an empty database: like a cluster's, it counts on from near zero, one million a second."""

SCHEMA = (
    "CREATE TABLE kv (key BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID",
    # One row for each version of the last seconds, and always the newest: see sqlite_history.
    "CREATE TABLE history (version INTEGER PRIMARY KEY, writes BLOB NOT NULL, undo BLOB)",
    # One row: the time, in seconds since the epoch, from which versions are counted.
    "CREATE TABLE origin (seconds REAL NOT NULL)",
)


def create(path: Path, now: float) -> None:
    """Make a new, empty database at `path`; another process may do the same, then one of the two files stays.

    Args:
        now: seconds since the epoch; versions are counted from ten seconds before.

    Raises:
        DatabaseError: the directory is missing, or may not be written to; or it holds the log of another database,
            which SQLite would take for that of the new one.
    """
    _require_directory(path)
    _require_no_log(path)
    unfinished = path.with_name(f".{path.name}.{uuid.uuid4().hex}.new")
    try:
        connection = sqlite3.connect(unfinished, isolation_level=None)
        try:
            _fill(connection, now - FIRST_VERSION / VERSIONS_PER_SECOND)
        finally:
            connection.close()
        _sync(unfinished)
        # os.link refuses to replace a file that someone else made meanwhile; rename would lose their commits.
        with contextlib.suppress(FileExistsError):
            os.link(unfinished, path)
        _sync(path.parent)
    except (OSError, sqlite3.Error) as error:
        raise DatabaseError(f"cannot create the database {path}: {error}") from error
    finally:
        for leftover in (unfinished, *companions(unfinished)):
            leftover.unlink(missing_ok=True)


def companions(path: Path) -> tuple[Path, Path]:
    """The write-ahead log and the shared-memory index that SQLite keeps beside a database in use."""
    return path.with_name(path.name + "-wal"), path.with_name(path.name + "-shm")


def require_ours(path: Path) -> None:
    """Look at the file without SQLite, which would write beside it: is it a whole database of this format?

    Raises:
        DatabaseError: it is something else, made by a newer version, cut short, or may not be written to; or the log
            beside it is another's.
    """
    _require_directory(path)
    if not path.is_file():
        raise DatabaseError(f"cannot open {path}: it is not a file; name a file, or a path where there is none yet")
    if not os.access(path, os.R_OK | os.W_OK):
        raise DatabaseError(f"cannot open {path}: this user may not read and write it; change its permissions")
    try:
        with path.open("rb") as file:
            header = file.read(_HEADER_LENGTH)
            length = os.fstat(file.fileno()).st_size
    except OSError as error:
        raise DatabaseError(f"cannot open {path}: {error.strerror}") from error
    if not header:
        _damaged(path, "it is empty, which a database never is")
    if header[: len(MAGIC)] != MAGIC[: len(header)]:
        raise DatabaseError(
            f"cannot open {path}: it is not an SQLite database (it begins with {header[:16]!r}); "
            "it was left as it is: name another path"
        )
    if len(header) < _HEADER_LENGTH:
        _damaged(path, f"it has only {len(header)} bytes")
    _require_format(path, header)
    _require_length(path, header, length)
    require_own_log(path, companions(path)[0])


def check(connection: sqlite3.Connection, path: Path, *, full: bool) -> tuple[float, Rows]:
    """Read what an open database must have; `full` reads every page and row of it.

    Returns the time from which its versions are counted, in seconds since the epoch, and how values lie in it.

    Raises:
        DatabaseError: the file is damaged, or another process has it locked for too long.
    """
    connection.execute(f"PRAGMA busy_timeout = {int(OPEN_SECONDS * 1000)}")
    try:
        return _check(connection, path, full)
    except sqlite3.DatabaseError as error:
        if is_locked(error):
            raise DatabaseError(f"cannot open {path}: another process has it locked; try again") from error
        _damaged(path, str(error), error)
    finally:
        connection.execute("PRAGMA busy_timeout = 0")


def _check(connection: sqlite3.Connection, path: Path, full: bool) -> tuple[float, Rows]:
    version, origin = connection.execute(
        "SELECT (SELECT max(version) FROM history), (SELECT seconds FROM origin)"
    ).fetchone()
    # Apart, each is one path to a leaf; max and min in one SELECT would read the whole table.
    connection.execute("SELECT (SELECT max(key) FROM kv), (SELECT min(key) FROM kv)").fetchone()
    found = "ok"
    if full:
        found = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
    elif path.stat().st_size <= ALWAYS_CHECKED_BYTES:
        found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if found != "ok":
        _damaged(path, " ".join(found.split()))
    if version is None or origin is None:
        _damaged(path, "it has lost its versions")
    (format_,) = connection.execute("PRAGMA user_version").fetchone()
    rows: Rows = BareRows() if format_ == 1 else SummedRows(path)
    if full:
        _check_rows(connection, rows, path)
    return float(origin), rows


def _check_rows(connection: sqlite3.Connection, rows: Rows, path: Path) -> None:
    """Check the checksum of every value."""
    try:
        for key, stored in connection.execute("SELECT key, value FROM kv"):
            rows.unpack(key, stored)
    except FDBError as error:
        raise DatabaseError(f"cannot open {path}: {error.detail}") from error


def _fill(connection: sqlite3.Connection, origin: float) -> None:
    connection.execute(f"PRAGMA page_size = {PAGE_SIZE}")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("BEGIN IMMEDIATE")
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {FORMAT_VERSION}")
    for statement in SCHEMA:
        connection.execute(statement)
    make_mark(connection)
    # What is before the first version cannot be read, so nothing has to be known of it.
    connection.execute("INSERT INTO history (version, writes, undo) VALUES (?, x'', NULL)", (FIRST_VERSION,))
    connection.execute("INSERT INTO origin (seconds) VALUES (?)", (origin,))
    connection.execute("COMMIT")


def _require_directory(path: Path) -> None:
    directory = path.parent
    if not directory.is_dir():
        raise DatabaseError(f"cannot open {path}: there is no directory {directory}; make it first")
    if not os.access(directory, os.W_OK | os.X_OK):
        raise DatabaseError(
            f"cannot open {path}: this user may not write in {directory}, where SQLite keeps its log beside the "
            "database; change the directory's permissions, or copy the database elsewhere"
        )


def _require_no_log(path: Path) -> None:
    """There is no log where that of a new database would lie, unless another process has just made that database."""
    log = companions(path)[0]
    if log.exists() and log.stat().st_size and not path.exists():
        raise DatabaseError(
            f"cannot create {path}: the log of a database that was there is still here, and may hold its last commits; "
            f"put that database back, or remove {log} for a new one"
        )


def _require_format(path: Path, header: bytes) -> None:
    application, version = _integer(header, _APPLICATION_ID_AT), _integer(header, _USER_VERSION_AT)
    if application != APPLICATION_ID:
        raise DatabaseError(
            f"cannot open {path}: it is an SQLite database of another application (application_id "
            f"{application:#010x}); it was left as it is: name another path"
        )
    if version not in READ_VERSIONS:
        raise DatabaseError(
            f"cannot open {path}: its format is version {version}, and this phasm_fdb reads up to version "
            f"{FORMAT_VERSION}; use the phasm_fdb that wrote it"
        )


def _require_length(path: Path, header: bytes, length: int) -> None:
    """A file may be shorter than its header says only by pages that are still in the write-ahead log."""
    # The two bytes hold 1 for the largest page size (https://sqlite.org/fileformat2.html, section 1.3.2).
    (stored,) = struct.unpack_from(">H", header, _PAGE_SIZE_AT)
    page_size = 65536 if stored == 1 else stored
    pages = _integer(header, _PAGE_COUNT_AT)
    present = length // page_size if page_size else 0
    if present < pages:
        missing = set(range(present + 1, pages + 1)) - _logged_pages(companions(path)[0], page_size)
        if missing:
            _damaged(path, f"it was cut short: {pages * page_size} bytes are expected, {length} are there")


def _logged_pages(log: Path, page_size: int) -> set[int]:
    """The pages that a write-ahead log has frames for, of its current run (the salts tell)."""
    pages: set[int] = set()
    try:
        with log.open("rb") as file:
            salts = file.read(_WAL_HEADER_LENGTH)[16:24]
            while len(frame := file.read(_FRAME_HEADER_LENGTH)) == _FRAME_HEADER_LENGTH and frame[8:16] == salts:
                pages.add(_integer(frame, 0))
                file.seek(page_size, os.SEEK_CUR)
    except FileNotFoundError:
        pass
    return pages


def _integer(data: bytes, offset: int) -> int:
    value: int = struct.unpack_from(">I", data, offset)[0]
    return value


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _damaged(path: Path, how: str, cause: BaseException | None = None) -> NoReturn:
    raise DatabaseError(
        f"cannot open {path}: the database is damaged, {how}; nothing was written to it: restore it from a backup"
    ) from cause
