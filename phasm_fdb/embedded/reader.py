"""The reads, as a transaction and its `snapshot` both have them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from phasm_fdb.embedded.future import Future, Key, Value
from phasm_fdb.embedded.limits import StreamingMode
from phasm_fdb.embedded.range_result import Batch, RangeRequest, RangeResult
from phasm_fdb.embedded.selector import END, KeySelector, key_bytes, prefix_end

if TYPE_CHECKING:
    from phasm_fdb.embedded.database import Database


def selector_of(key: Any) -> KeySelector:
    """A key or a selector, as a selector."""
    return key if isinstance(key, KeySelector) else KeySelector.first_greater_or_equal(key)


class Reader(ABC):
    """Reading by key, by selector and by range. What fails, fails when the result is waited for."""

    __slots__ = ()

    @property
    @abstractmethod
    def db(self) -> Database:
        """The database that is read."""

    @abstractmethod
    def get(self, key: Any) -> Value:
        """The value at `key`, or None."""

    @abstractmethod
    def get_key(self, key_selector: KeySelector) -> Key:
        """The key that a selector names: `b""` before the first key, `b"\\xff"` after the last."""

    @abstractmethod
    def get_read_version(self) -> Future[int]:
        """The version of the snapshot that is read, which is taken now if it was not before."""

    @abstractmethod
    def get_estimated_range_size_bytes(self, begin_key: bytes, end_key: bytes) -> Future[int]:
        """About how many bytes `[begin_key, end_key)` has."""

    @abstractmethod
    def get_range_split_points(self, begin_key: bytes, end_key: bytes, chunk_size: int) -> Future[list[bytes]]:
        """Keys that split `[begin_key, end_key)` into chunks of about `chunk_size` bytes, the ends
        included.
        """

    @abstractmethod
    def _fetch(self, request: RangeRequest) -> Future[Batch]: ...

    def get_range(
        self,
        begin: Any,
        end: Any,
        limit: int = 0,
        reverse: bool = False,
        streaming_mode: int = StreamingMode.iterator,
    ) -> RangeResult:
        """The rows from `begin` to before `end`, in key order.

        Args:
            begin, end: keys or selectors; None is the first key, or the end of all keys.
            limit: how many rows at most; 0 is all.
            reverse: the last rows first.
            streaming_mode: how much is fetched at a time, one of `StreamingMode`.
        """
        first = selector_of(b"" if begin is None else begin)
        last = selector_of(END if end is None else end)
        return RangeResult(self._fetch, RangeRequest(first, last, limit, streaming_mode, reverse))

    def get_range_startswith(self, prefix: Any, *args: Any, **kwargs: Any) -> RangeResult:
        """The rows whose keys start with `prefix`; further arguments as for `get_range`."""
        prefix = key_bytes(prefix)
        return self.get_range(prefix, prefix_end(prefix), *args, **kwargs)

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, slice):
            return self.get_range(key.start, key.stop, reverse=key.step == -1)
        return self.get(key)
