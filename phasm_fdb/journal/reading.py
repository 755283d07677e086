"""Reading the journal, and reading the state at one version."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from phasm_fdb.database.paging import PAGE_ROWS, PagedReader
from phasm_fdb.database.ranges import Row, rows
from phasm_fdb.database.transactional import error_code
from phasm_fdb.database.waiting import wait
from phasm_fdb.error_codes import TRANSACTION_TOO_OLD
from phasm_fdb.errors import ReplayError
from phasm_fdb.keyspace import Keyspace

#: A journal entry: its versionstamp of 12 bytes, and its bytes.
Recorded = tuple[bytes, bytes]


def entries(db: Any, keyspace: Keyspace, after: int | None, through: int) -> Iterator[Recorded]:
    """The entries of the commits behind version `after` (None: from the beginning), up to `through`, in order.

    They are read in pages: entries do not change, so the pages need not be of one version.
    """
    begin = keyspace.journal if after is None else keyspace.journal_from(after + 1)
    stamp, parts = b"", b""
    for key, value in PagedReader(db).rows(begin, keyspace.journal_from(through + 1)):
        if keyspace.journal_stamp(key) != stamp:
            if stamp:
                yield stamp, parts
            stamp, parts = keyspace.journal_stamp(key), b""
        parts += value
    if stamp:
        yield stamp, parts


def rows_at(db: Any, version: int, begin: bytes, end: bytes) -> Iterator[Row]:
    """The rows of a range at one version, read in pages.

    Raises:
        ReplayError: the five seconds for which FoundationDB knows a version were over.
    """
    more = True
    while more:
        page = _page(db, version, begin, end)
        yield from page
        more = len(page) == PAGE_ROWS
        begin = page[-1][0] + b"\0" if more else end


def _page(db: Any, version: int, begin: bytes, end: bytes) -> list[Row]:
    tr = db.create_transaction()
    while True:
        try:
            tr.set_read_version(version)
            return list(rows(tr, begin, end, limit=PAGE_ROWS))
        except Exception as error:
            code = error_code(error)
            if code == TRANSACTION_TOO_OLD:
                raise ReplayError(
                    f"the state at version {version} cannot be read in the five seconds for which the database keeps "
                    "a version: it is too large, or this machine is too far from the database"
                ) from error
            if code is None:
                raise
            wait(tr.on_error(code))
