"""The log and its index beside an open file: whether they are still those that SQLite writes to.

SQLite has both open, and never looks again whether they have kept their names and their length. Whoever opens the file
after one was removed makes another, and neither side sees the other's commits. Behind the end of a log that was cut
short the next commit leaves a hole, which a checkpoint would copy into the file. So each commit looks first; and who
closes the file writes no log back, and removes none, in which there is something that it cannot see.

How long the log has to be, its index says, which counts the frames (https://sqlite.org/walformat.html, section 2.1).
The descriptor through which that is read must not be closed while SQLite has the index open here, since that would drop
the locks that this process holds on it (https://sqlite.org/howtocorrupt.html, section 2.2).
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import struct
import weakref
from pathlib import Path

from phasm_fdb.embedded.sqlite_errors import cut_log, missing_log
from phasm_fdb.embedded.sqlite_fork import Identity
from phasm_fdb.embedded.sqlite_format import companions
from phasm_fdb.errors import FDBError

_HEADER_BYTES, _FRAME_HEADER_BYTES = 32, 24
_COUNTS_AT, _COUNTS = 14, struct.Struct("=HI")
"""Where an index has the size of a page (1 stands for 65,536) and the number of frames; in the machine's byte order."""


class _Index:
    """An index that this process has open to look at it, beside SQLite, and which of its databases do so."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.users: weakref.WeakSet[Companions] = weakref.WeakSet()

    def needed(self) -> int:
        """How long the log has to be for all the frames that count."""
        counts = os.pread(self.descriptor, _COUNTS.size, _COUNTS_AT)
        if len(counts) < _COUNTS.size:
            return 0
        page_size, frames = _COUNTS.unpack(counts)
        frame_bytes = _FRAME_HEADER_BYTES + (65536 if page_size == 1 else page_size)
        return _HEADER_BYTES + frames * frame_bytes if frames else 0


_indexes: dict[Identity, _Index] = {}


class Companions:
    """The log and the index of the file at `path`, as this process has come to use them.

    Attributes:
        generation: raised whenever the file was opened anew, so that there may be others.
        untold: the error for commits that were found to be lost when connections were closed.
        are_noted: whether it is known which ones they are.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._log, self._index = map(str, companions(path))
        self._identities: tuple[Identity, Identity] | None = None
        self._open_index: _Index | None = None
        self._refusal: FDBError | None = None
        self.generation = 0
        self.untold: FDBError | None = None
        self.are_noted = False

    def forget(self) -> None:
        """Start anew: nobody here has the file open, and who closes it last removes them."""
        self._identities = None
        self.are_noted = False
        self.generation += 1

    def note(self) -> None:
        """Note which ones they are, now that SQLite has them open."""
        log, index = identity(self._log), identity(self._index)
        if log is None or index is None:
            return
        found = _indexes.get(index) or self._look_into_index()
        if found is not None:
            found.users.add(self)
            self._open_index = found
            self._identities = log, index
            self.are_noted = True

    def release(self) -> None:
        """Look no more at the index: SQLite has not got it open for this database. Closes those that nobody has."""
        if self._open_index is not None:
            self._open_index.users.discard(self)
            self._open_index = None
        for index, unused in list(_indexes.items()):
            # One that has its name still, somebody has open: another process, or SQLite here for somebody else.
            if not unused.users and not os.fstat(unused.descriptor).st_nlink and _indexes.pop(index, None) is not None:
                os.close(unused.descriptor)

    def require_same(self) -> int:
        """Make sure that they are those that were noted; the caller has a connection, or the last one may remove them.

        Returns:
            The length of the log.

        Raises:
            FDBError: 1511.
        """
        are_others, length = self._look()
        if self._refusal is None and are_others:
            self._refusal = missing_log(self._path)
        if self._refusal is not None:
            raise self._refusal
        return length

    def require_whole(self) -> None:
        """Make sure that nothing of the log is missing, either; the caller has a write transaction open.

        Raises:
            FDBError: 1511.
        """
        length = self.require_same()
        if self._open_index is not None and length < self._open_index.needed():
            self._refusal = cut_log(self._path)
            raise self._refusal

    def log_bytes(self) -> int:
        """The length of the log."""
        try:
            return os.stat(self._log).st_size  # noqa: PTH116 - as in `identity`
        except FileNotFoundError:
            return 0

    def keeper(self) -> sqlite3.Connection | None:
        """A connection to be closed as the last one of this process, where SQLite must not write the log back then.

        It may only read, so it can neither do that nor remove the log. None where SQLite may: also where the log was
        removed, and nobody has committed to another one, since there is no other way to what is in it.
        """
        are_others, _ = self._look()
        is_replaced = self._identities is not None and self._identities[0] != identity(self._log)
        if is_replaced and not self.log_bytes():
            return None
        if self._refusal is None:
            if is_replaced:
                self._refusal = self.untold = missing_log(self._path)
            elif self._is_cut():
                self._refusal = self.untold = cut_log(self._path)
        return self._reader() if self._refusal is not None or are_others else None

    def _look(self) -> tuple[bool, int]:
        """Whether they are not those that were noted, and the length of the log."""
        try:
            log, index = os.stat(self._log), os.stat(self._index)  # noqa: PTH116 - as in `identity`
        except OSError:
            return self.are_noted, 0
        found = (log.st_dev, log.st_ino), (index.st_dev, index.st_ino)
        return self.are_noted and found != self._identities, log.st_size

    def _is_cut(self) -> bool:
        """Whether the log is too short; without a write transaction, so another process may just start it over."""
        index = self._open_index
        while index is not None and (needed := index.needed()) > self.log_bytes():
            if index.needed() == needed:
                return True
        return False

    def _look_into_index(self) -> _Index | None:
        try:
            descriptor = os.open(self._index, os.O_RDONLY)
        except OSError:
            return None
        found = os.fstat(descriptor)
        # Where two threads come here at once, one descriptor stays open for ever.
        return _indexes.setdefault((found.st_dev, found.st_ino), _Index(descriptor))

    def _reader(self) -> sqlite3.Connection | None:
        """A connection that may only read, and has log and index open; None if the file is gone."""
        try:
            reader = sqlite3.connect(f"{self._path.as_uri()}?mode=ro", uri=True, check_same_thread=False)
        except sqlite3.Error:
            return None
        with contextlib.suppress(sqlite3.Error):
            reader.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        return reader


def identity(path: str) -> Identity | None:
    """What stays the same while a file exists under its name; None where there is no file."""
    try:
        found = os.stat(path)  # noqa: PTH116 - every snapshot and commit asks, and a Path costs half a microsecond more
    except OSError:
        return None
    return found.st_dev, found.st_ino
