"""The result of `get_range`: rows in batches, the first asked for at once, the others as they are needed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from phasm_fdb.embedded.future import Future
from phasm_fdb.embedded.limits import StreamingMode
from phasm_fdb.embedded.selector import KeySelector, KeyValue


class Batch(NamedTuple):
    """One batch of rows, and whether a limit ended it."""

    rows: list[KeyValue]
    more: bool


class RangeRequest(NamedTuple):
    """What is asked for of a range.

    Attributes:
        begin, end: where it begins and ends.
        limit: how many rows at most; 0 is all.
        mode: how much is fetched at a time, one of `StreamingMode`.
        reverse: the last rows first.
        iteration: the number of the batch, from 1: in some modes later ones are larger.
    """

    begin: KeySelector
    end: KeySelector
    limit: int
    mode: int
    reverse: bool
    iteration: int = 1

    def behind(self, batch: list[KeyValue]) -> RangeRequest:
        """The request for what comes behind a batch, which did not end the range."""
        last = batch[-1].key
        if self.reverse:
            begin, end = self.begin, KeySelector.first_greater_or_equal(last)
        else:
            begin, end = KeySelector.first_greater_than(last), self.end
        limit = self.limit - len(batch) if self.limit > 0 else self.limit
        return RangeRequest(begin, end, limit, self.mode, self.reverse, self.iteration + 1)


#: Reads one batch.
Fetch = Callable[[RangeRequest], Future[Batch]]


class RangeResult:
    """The rows of a range, to be iterated over, as often as wished. Iterating raises what the read failed
    with.
    """

    def __init__(self, fetch: Fetch, request: RangeRequest) -> None:
        self._fetch = fetch
        self._request = request
        self._first = fetch(request)

    def to_list(self) -> list[KeyValue]:
        """All the rows.

        Raises:
            FDBError: what the read failed with.
        """
        request = self._request
        if request.mode == StreamingMode.iterator:
            mode = StreamingMode.exact if request.limit > 0 else StreamingMode.want_all
            request = request._replace(mode=mode)
        return list(self._rows(request))

    def __iter__(self) -> Iterator[KeyValue]:
        return self._rows(self._request)

    def _rows(self, request: RangeRequest) -> Iterator[KeyValue]:
        batch = self._first.wait()
        while batch.rows:
            rows = batch.rows
            following: Future[Batch] | None = None
            yield from rows[:-1]
            if batch.more and request.limit != len(rows):
                request = request.behind(rows)
                # Asked for before the last row is given out, as the binding does: the next batch is then on
                # its way.
                following = self._fetch(request)
            yield rows[-1]
            if following is None:
                return
            batch = following.wait()
