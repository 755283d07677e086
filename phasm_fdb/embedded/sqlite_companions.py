"""The log and its index beside an open file: whether they are still those that SQLite writes to.

SQLite has both open, and never looks again whether they have kept their names and their length. Whoever opens the file
after one was removed makes another, and neither side sees the other's commits. Behind the end of a log that was cut
short the next commit leaves a hole, which a checkpoint would copy into the file. So each commit looks first; and who
closes the file writes no log back, and removes none, in which there is something that it cannot see.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path

from phasm_fdb.embedded.sqlite_errors import cut_log, is_locked, missing_log
from phasm_fdb.embedded.sqlite_fork import Identity
from phasm_fdb.embedded.sqlite_format import companions
from phasm_fdb.embedded.sqlite_log import ends_with_commit
from phasm_fdb.errors import FDBError

_NEWEST = "SELECT max(version) FROM history"
"""Reads a page that every commit writes."""


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
        self._length = 0
        """Of the log, after the last commit of this process."""
        self._refusal: FDBError | None = None
        self.generation = 0
        self.untold: FDBError | None = None
        self.are_noted = False

    def forget(self) -> None:
        """Start anew: nobody here has the file open, and who closes it last removes them."""
        self._identities = None
        self.are_noted = False
        self._length = 0
        self.generation += 1

    def note(self) -> None:
        """Note which ones they are, now that SQLite has them open."""
        log, index = identity(self._log), identity(self._index)
        if log is not None and index is not None:
            self._identities = log, index
            self.are_noted = True

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
        if length < self._length and (not ends_with_commit(Path(self._log)) or self._has_lost_newest()):
            self._refusal = cut_log(self._path)
            raise self._refusal

    def wrote(self) -> None:
        """Note how long the log is, after a commit or a checkpoint of this process."""
        self._length = self.log_bytes()

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
        are_others, length = self._look()
        is_replaced = self._identities is not None and self._identities[0] != identity(self._log)
        if is_replaced and not self.log_bytes():
            return None
        if self._refusal is None:
            if is_replaced:
                self._refusal = self.untold = missing_log(self._path)
            elif not are_others and length < self._length and self._has_lost_newest():
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

    def _has_lost_newest(self) -> bool:
        """Whether the newest commit cannot be read any more; else a long log was started over, and so got shorter."""
        reader = self._reader()
        if reader is None:
            return True
        with contextlib.closing(reader):
            try:
                reader.execute(_NEWEST).fetchone()
            except sqlite3.Error as error:
                return not is_locked(error)
        return False

    def _reader(self) -> sqlite3.Connection | None:
        """A new connection, with nothing in its cache, that has log and index open; None if the file is gone."""
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
