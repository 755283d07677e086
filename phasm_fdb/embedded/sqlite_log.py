"""Whether the write-ahead log that lies beside a file belongs to it.

SQLite takes any sound log beside a file for the file's own: one that a killed process has left behind would be written
over a backup that somebody has put in the file's place, page by page. So the table `mark` holds the database's random
identity and a number, which is raised by the first commit of each process and after each checkpoint. A file without its
log then says how far it has come, and the first mark in a log says from where that went on. Both must fit, and a file
must not be ahead of its log.

This is looked at when nobody has the file open; whoever opened it first has done so for the others.
"""

from __future__ import annotations

import fcntl
import sqlite3
import struct
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple

from phasm_fdb.errors import DatabaseError

MARK_TABLE = "CREATE TABLE mark (mark BLOB NOT NULL)"

SHARED_LOCK_AT, SHARED_LOCK_BYTES = 0x40000002, 510
"""Where SQLite's shared locks lie (https://sqlite.org/src/file/src/os.h): who holds all of it is alone."""

SEARCHED_FRAMES = 1000
"""How far into a log its first mark is looked for; it is in the first commit of nearly every log."""

_IDENTITY_BYTES, _NUMBER_BYTES = 16, 8
_HEADER_BYTES, _FRAME_HEADER_BYTES = 32, 24
_MAGIC = {0x377F0682: "<", 0x377F0683: ">"}
"""What a log begins with, and in which order the bytes of its checksums are (fileformat2.html, section 4.1)."""


class Mark(NamedTuple):
    """What a file or a log says of itself."""

    identity: bytes
    number: int

    def pack(self) -> bytes:
        return self.identity + self.number.to_bytes(_NUMBER_BYTES, "big")

    @classmethod
    def unpack(cls, packed: bytes) -> Mark:
        return cls(packed[:_IDENTITY_BYTES], int.from_bytes(packed[_IDENTITY_BYTES:], "big"))


def make_mark(connection: sqlite3.Connection) -> None:
    """Give a new database its identity."""
    connection.execute(MARK_TABLE)
    connection.execute("INSERT INTO mark VALUES (?)", (Mark(uuid.uuid4().bytes, 0).pack(),))


def raise_mark(connection: sqlite3.Connection) -> None:
    """Raise the number, as part of the commit that is being written."""
    mark = Mark.unpack(connection.execute("SELECT mark FROM mark").fetchone()[0])
    connection.execute("UPDATE mark SET mark = ?", (mark._replace(number=mark.number + 1).pack(),))


def require_own_log(path: Path, log: Path) -> None:
    """Make sure that the log beside a file, if there is one, is the file's own; this process has it not open.

    Raises:
        DatabaseError: it is not.
    """
    if not log.exists() or log.stat().st_size <= _HEADER_BYTES:
        return
    with path.open("rb+") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, SHARED_LOCK_BYTES, SHARED_LOCK_AT)
        except OSError:
            return  # it is in use
        if not _belongs(path, log):
            raise DatabaseError(
                f"cannot open {path}: the log beside it, {log}, is not of this file, or of another state of it; was "
                "the file restored or replaced, and the log left? Put back the file that it belongs to, or remove the "
                "log to open what is in the file alone"
            )


def _belongs(path: Path, log: Path) -> bool:
    """Whether the marks of file and log fit together; also where they cannot be told."""
    alone = _read_mark(path, "immutable=1")
    if alone is None:
        return True
    page, mark = alone
    with log.open("rb") as file:
        first = _first_mark(file, page)
    if first is None:
        return True
    if first.identity != mark.identity or first.number > mark.number + 1:
        return False
    together = _read_mark(path, "mode=ro")
    return together is None or mark.number <= together[1].number


def _read_mark(path: Path, how: str) -> tuple[int, Mark] | None:
    """The mark of a file, and the number of the page that it is on; None where it cannot be read.

    Args:
        how: "immutable=1" for the file without its log, "mode=ro" for both. Neither writes anything when it is closed.
    """
    connection = sqlite3.connect(f"{path.as_uri()}?{how}", uri=True)
    try:
        found = connection.execute("SELECT rootpage, mark FROM sqlite_master, mark WHERE name = 'mark'").fetchone()
    except sqlite3.Error:
        return None  # of format 1, or damaged; or a checkpoint was cut short
    finally:
        connection.close()
    return None if found is None else (found[0], Mark.unpack(found[1]))


def _first_mark(log: IO[bytes], page: int) -> Mark | None:
    """The mark in the first frame of a log that holds this page; None where there is none that is sound."""
    for number, content in _frames(log):
        if number == page:
            return _mark_on(content)
    return None


def _frames(log: IO[bytes]) -> Iterator[tuple[int, bytes]]:
    """The page numbers and contents of the first frames of a log, as long as they are sound."""
    header = log.read(_HEADER_BYTES)
    if len(header) < _HEADER_BYTES:
        return
    magic, _, page_size = struct.unpack(">III", header[:12])
    order = _MAGIC.get(magic)
    if order is None:
        return
    total = _checksum(header[:24], (0, 0), order)
    for _ in range(SEARCHED_FRAMES):
        frame = log.read(_FRAME_HEADER_BYTES + page_size)
        if len(frame) < _FRAME_HEADER_BYTES + page_size or frame[8:16] != header[16:24]:
            return
        total = _checksum(frame[:8] + frame[_FRAME_HEADER_BYTES:], total, order)
        if struct.pack(">II", *total) != frame[16:24]:
            return
        yield struct.unpack(">I", frame[:4])[0], frame[_FRAME_HEADER_BYTES:]


def _checksum(data: bytes, total: tuple[int, int], order: str) -> tuple[int, int]:
    """A log's running checksum, over pairs of words (fileformat2.html, section 4.2)."""
    first, second = total
    words = struct.unpack(f"{order}{len(data) // 4}I", data)
    for even, odd in zip(words[::2], words[1::2], strict=True):
        first = (first + even + second) & 0xFFFFFFFF
        second = (second + odd + first) & 0xFFFFFFFF
    return first, second


def _mark_on(page: bytes) -> Mark | None:
    """The mark in the one row on a page; None if that is no such page.

    A leaf of a table (fileformat2.html, section 1.6) with one cell: two bytes of lengths, then a record whose header
    says that it holds one blob of so many bytes.
    """
    kind, _, cells = struct.unpack(">BHH", page[:5])
    if kind != 0x0D or cells != 1:
        return None
    (at,) = struct.unpack(">H", page[8:10])
    length = _IDENTITY_BYTES + _NUMBER_BYTES
    if page[at : at + 4] != bytes([length + 2, 1, 2, 2 * length + 12]):
        return None
    return Mark.unpack(page[at + 4 : at + 4 + length])
