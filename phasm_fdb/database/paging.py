"""Reading more than fits in one transaction: in pages, each at one read version, each restarted from a cursor.

A FoundationDB transaction lasts five seconds. What is read in pages is therefore not one moment: each page is, and
a later page may see later commits.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any, Protocol, TypeVar

from phasm_fdb.database.ranges import Row, rows
from phasm_fdb.database.staged import TransactionReader
from phasm_fdb.database.transactional import run

T = TypeVar("T")
C = TypeVar("C")

PAGE_ROWS = 1000


class ReadPage(Protocol[T, C]):
    """Reads one page."""

    def __call__(self, tr: Any, /, *, cursor: C | None) -> tuple[list[T], C | None]: ...


def pages(db: Any, read: ReadPage[T, C]) -> Iterator[T]:
    """The items of all pages; the first page is read at once.

    Args:
        read: `read(tr, cursor=...)` gives the items behind the cursor (None: from the beginning), and the next cursor,
            or None at the end. It is called in a transaction of its own, again if that fails.
    """
    items, cursor = run(db, functools.partial(read, cursor=None))
    return _following(db, read, items, cursor)


def _following(db: Any, read: Any, items: list[T], cursor: C | None) -> Iterator[T]:
    yield from items
    while cursor is not None:
        items, cursor = run(db, functools.partial(read, cursor=cursor))
        yield from items


class PagedReader:
    """What a `Staged` reads through instead of a transaction, where a scan may last longer than one.

    For what may see the state at several moments, such as `restore`: each read, and each page of a range, is of one
    version, and no later one is of an earlier version.

    Args:
        page_rows: how many rows one page of a range has.
    """

    def __init__(self, db: Any, page_rows: int = PAGE_ROWS) -> None:
        self._db = db
        self._page_rows = page_rows

    def read(self, key: bytes) -> bytes | None:
        """The value of a key, or None."""
        return run(self._db, lambda tr: TransactionReader(tr).read(key))

    def read_many(self, keys: list[bytes]) -> list[bytes | None]:
        """The values of several keys, of one version."""
        return run(self._db, lambda tr: TransactionReader(tr).read_many(keys))

    def known(self, key: bytes) -> tuple[bool, bytes | None]:
        """Nothing is known without a read."""
        return False, None

    def rows(self, begin: bytes, end: bytes, limit: int = 0, reverse: bool = False) -> Iterator[Row]:
        """The rows of a range, as `ranges.rows` gives them."""
        given = 0
        while True:
            count = self._page_rows if not limit else min(self._page_rows, limit - given)
            page = run(self._db, functools.partial(_page, begin, end, count, reverse))
            yield from page
            given += len(page)
            if len(page) < count or given == limit:
                return
            last = page[-1][0]
            begin, end = (begin, last) if reverse else (last + b"\0", end)


def _page(begin: bytes, end: bytes, limit: int, reverse: bool, tr: Any) -> list[Row]:
    return list(rows(tr, begin, end, limit, reverse))
