"""How much one range read may return: rows, bytes, and what the streaming modes of the API mean by it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

from phasm_fdb.error_codes import CLIENT_INVALID_OPERATION, EXACT_MODE_WITHOUT_LIMITS, RANGE_LIMITS_INVALID
from phasm_fdb.errors import FDBError

ROW_OVERHEAD = 8
"""Bytes that a row counts beyond its key and value (GetRangeLimits::decrement in fdbclient/NativeAPI)."""

# fdb_c.cpp, validate_and_update_parameters: bytes by mode (exact has no byte limit), and by iteration.
_MODE_BYTES: tuple[int | None, ...] = (None, 256, 1000, 4096, 80_000)
_ITERATION_BYTES = (4096, 6144, 9216, 13824, 20736, 31104, 46656, 69984, 80_000, 120_000)


class StreamingMode:
    """How many bytes one batch of a range read fetches, by name, as the binding numbers them."""

    want_all = -2
    iterator = -1
    exact = 0
    small = 1
    medium = 2
    large = 3
    serial = 4


class Limits:
    """The rows and bytes that a read may still return. None is no limit.

    The first row is returned whatever the byte limit says.
    """

    __slots__ = ("bytes", "least", "rows")

    def __init__(self, rows: int | None, size: int | None = None, least: int = 1) -> None:
        self.rows = rows
        self.bytes = size
        self.least = least

    def take(self, key: bytes, value: bytes) -> None:
        """Count one returned row."""
        if self.rows is not None:
            self.rows -= 1
        if self.bytes is not None:
            self.bytes = max(0, self.bytes - ROW_OVERHEAD - len(key) - len(value))
        if self.least:
            self.least -= 1

    def take_many(self, rows: Sequence[tuple[bytes, bytes]]) -> int:
        """Count rows in order, until a limit is reached; returns how many were counted."""
        taken = len(rows) if self.rows is None else min(self.rows, len(rows))
        if self.bytes is not None:
            left, least = self.bytes, self.least
            for number, (key, value) in enumerate(islice(rows, taken), 1):
                left -= ROW_OVERHEAD + len(key) + len(value)
                if left <= 0 and number >= least:
                    taken = number
                    break
            self.bytes = max(0, left)
        if self.rows is not None:
            self.rows -= taken
        self.least = max(0, self.least - taken)
        return taken

    @property
    def reached(self) -> bool:
        """Whether no further row may be returned."""
        return self.rows == 0 or (self.bytes == 0 and self.least == 0)


def limits_of(limit: int, mode: int, iteration: int) -> Limits:
    """The limits of one batch.

    Args:
        limit: rows; 0 and -1 are no limit.
        mode: one of `StreamingMode`.
        iteration: which batch of the read this is, from 1.

    Raises:
        FDBError: 2210 for `exact` without a limit, 2000 for an unknown mode, 2012 for a limit below -1.
    """
    if limit < -1:
        raise FDBError(RANGE_LIMITS_INVALID)
    rows = limit if limit > 0 else None
    if mode == StreamingMode.iterator:
        return Limits(rows, _ITERATION_BYTES[min(iteration, len(_ITERATION_BYTES)) - 1])
    if mode == StreamingMode.want_all:
        mode = StreamingMode.serial
    if not 0 <= mode < len(_MODE_BYTES):
        raise FDBError(CLIENT_INVALID_OPERATION)
    if rows is None and mode == StreamingMode.exact:
        raise FDBError(EXACT_MODE_WITHOUT_LIMITS)
    return Limits(rows, _MODE_BYTES[mode])
