"""Reading a range as plain pairs, from any database that speaks the port."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Row = tuple[bytes, bytes]


def rows(reader: Any, begin: bytes, end: bytes, limit: int = 0, reverse: bool = False) -> Iterator[Row]:
    """The rows of `begin <= key < end` in key order, read in batches as they are asked for.

    Args:
        reader: a transaction or its `snapshot`.
        limit: the most rows to give; 0 for all.
        reverse: from the end backwards.
    """
    for row in reader.get_range(begin, end, limit=limit, reverse=reverse):
        yield row.key, row.value
