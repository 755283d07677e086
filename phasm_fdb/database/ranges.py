"""Reading a range as plain pairs, from any database that speaks the port."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from phasm_fdb.database.binding import first_batch
from phasm_fdb.database.waiting import wait

Row = tuple[bytes, bytes]

#: FoundationDB's `StreamingMode.serial`: batches of up to 80 kB. The first one is the default's, about 4 kB.
SERIAL = 4


def rows(reader: Any, begin: bytes, end: bytes, limit: int = 0, reverse: bool = False) -> Iterator[Row]:
    """The rows of `begin <= key < end` in key order, read in batches as they are asked for.

    The first batch is asked for at once, each other one while the last row of the batch before it is in use. Under
    `aio.run` only the task waits for a batch, never the thread.

    Args:
        reader: a transaction or its `snapshot`.
        limit: the most rows to give; 0 for all.
        reverse: from the end backwards.
    """
    result = reader.get_range(begin, end, limit=limit, reverse=reverse)
    future = first_batch(result)
    if future is None:
        return ((row.key, row.value) for row in result)
    return _batches(reader, future, begin, end, limit, reverse)


def _batches(reader: Any, future: Any, begin: bytes, end: bytes, limit: int, reverse: bool) -> Iterator[Row]:
    """The rows of the binding's range whose first batch is `future`, by its public calls and our own waiting."""
    while future is not None:
        batch, count, more = wait(future)
        future = None
        for number, row in enumerate(batch, 1):
            if number == count and more and limit != count:
                limit = max(limit - count, 0)
                begin, end = (begin, row.key) if reverse else (row.key + b"\0", end)
                following = reader.get_range(begin, end, limit=limit, reverse=reverse, streaming_mode=SERIAL)
                future = first_batch(following)
            yield row.key, row.value
