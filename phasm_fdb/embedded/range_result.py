"""The result of `get_range`: rows in batches, the first asked for at once, the others as they are needed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Protocol

from phasm_fdb.embedded.future import Future
from phasm_fdb.embedded.limits import StreamingMode
from phasm_fdb.embedded.selector import KeySelector, KeyValue


class Batch(NamedTuple):
    """One batch of rows, and whether a limit ended it."""

    rows: list[KeyValue]
    more: bool


class Fetch(Protocol):
    """Reads one batch; the keys and limits are those of `get_range`."""

    def __call__(
        self, begin: KeySelector, end: KeySelector, limit: int, mode: int, iteration: int, reverse: bool, /
    ) -> Future[Batch]: ...


class RangeResult:
    """The rows of a range, to be iterated over, as often as wished. Iterating raises what the read failed
    with.
    """

    def __init__(
        self, fetch: Fetch, begin: KeySelector, end: KeySelector, limit: int, reverse: bool, mode: int
    ) -> None:
        self._fetch = fetch
        self._begin = begin
        self._end = end
        self._limit = limit
        self._reverse = reverse
        self._mode = mode
        self._first = fetch(begin, end, limit, mode, 1, reverse)

    def to_list(self) -> list[KeyValue]:
        """All the rows.

        Raises:
            FDBError: what the read failed with.
        """
        mode = self._mode
        if mode == StreamingMode.iterator:
            mode = StreamingMode.exact if self._limit > 0 else StreamingMode.want_all
        return list(self._rows(mode))

    def __iter__(self) -> Iterator[KeyValue]:
        return self._rows(self._mode)

    def _rows(self, mode: int) -> Iterator[KeyValue]:
        begin, end, limit = self._begin, self._end, self._limit
        batch = self._first.wait()
        iteration = 1
        while batch.rows:
            rows = batch.rows
            following: Future[Batch] | None = None
            yield from rows[:-1]
            if batch.more and limit != len(rows):
                iteration += 1
                if limit > 0:
                    limit -= len(rows)
                if self._reverse:
                    end = KeySelector.first_greater_or_equal(rows[-1].key)
                else:
                    begin = KeySelector.first_greater_than(rows[-1].key)
                # Asked for before the last row is given out, as the binding does: the next batch is then on
                # its way.
                following = self._fetch(begin, end, limit, mode, iteration, self._reverse)
            yield rows[-1]
            if following is None:
                return
            batch = following.wait()
