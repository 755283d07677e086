"""A sorted map."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

from phasm_fdb.errors import CodecError, shown
from phasm_fdb.fields.cells import Cells, incomplete_at, parts_from, parts_of, parts_of_text
from phasm_fdb.fields.field import Accessor, Field
from phasm_fdb.keys import ELEMENTS_END, KeyCodec, after_prefix

if TYPE_CHECKING:
    from phasm_fdb.fields.index import Index
    from phasm_fdb.state import State

K = TypeVar("K")
V = TypeVar("V")
D = TypeVar("D")

_MISSING: Any = object()


class MapAccessor(Accessor, Generic[K, V]):
    """`state.field` of a `Map`."""

    __slots__ = ()

    @overload
    def get(self, key: K) -> V | None: ...
    @overload
    def get(self, key: K, default: D) -> V | D: ...
    def get(self, key: K, default: Any = None) -> Any:
        """The value of a key, or the default."""
        row = self._row(key)
        data = self._staged.read(row)
        return default if data is None else self._field.cells.decode(self._view, row, data)

    def get_many(self, keys: Iterable[K]) -> dict[K, V]:
        """The values of those keys that are there; all are read at once, which takes the time of one read."""
        wanted = self._rows(keys)
        found = zip(wanted.items(), self._staged.read_many(wanted.values()), strict=True)
        return {key: self._field.cells.decode(self._view, row, data) for (key, row), data in found if data is not None}

    def __getitem__(self, key: K) -> V:
        """The value of a key; raises KeyError if it is not there."""
        value = self.get(key, _MISSING)
        if value is _MISSING:
            raise KeyError(key)
        return value

    def __contains__(self, key: K) -> bool:
        return self._staged.read(self._row(key)) is not None

    def __setitem__(self, key: K, value: V) -> None:
        """Set a key; raises a CodecError that names the field if key or value is not of the declared type."""
        field, row = self._field, self._row(key)
        data = field.cells.encode(row, value)
        offset = incomplete_at(row, self._prefix) if field.keys.may_be_incomplete else None
        if field.indexes:
            self._reindex(row, offset, value)
        field.cells.write(self._view, row, data, offset)

    def __delitem__(self, key: K) -> None:
        """Remove a key; raises KeyError if it is not there."""
        if key not in self:
            raise KeyError(key)
        self.discard(key)

    def discard(self, key: K) -> None:
        """Remove a key if it is there. Without indexes it reads nothing."""
        row = self._row(key)
        if self._field.indexes:
            self._reindex(row, None, None)
        self._field.cells.clear(self._view, row)

    def items(
        self,
        start: K | None = None,
        stop: K | None = None,
        *,
        prefix: Any = None,
        reverse: bool = False,
        limit: int = 0,
    ) -> Iterator[tuple[K, V]]:
        """The keys and values in key order.

        Args:
            start, stop: only `start <= key < stop`.
            prefix: only keys that begin with it: a tuple of the first elements, or the beginning of a string.
            reverse: the last one first.
            limit: at most so many; 0 for all.
        """
        field, cut = self._field, len(self._prefix)
        for row, data in self._staged.rows(*self._span(start, stop, prefix), limit, reverse):
            yield field.keys.unpack(row[cut:]), field.cells.decode(self._view, row, data)

    def keys(
        self,
        start: K | None = None,
        stop: K | None = None,
        *,
        prefix: Any = None,
        reverse: bool = False,
        limit: int = 0,
    ) -> Iterator[K]:
        """The keys in order; arguments as for `items`."""
        cut = len(self._prefix)
        for row, _ in self._staged.rows(*self._span(start, stop, prefix), limit, reverse):
            yield self._field.keys.unpack(row[cut:])

    def values(
        self,
        start: K | None = None,
        stop: K | None = None,
        *,
        prefix: Any = None,
        reverse: bool = False,
        limit: int = 0,
    ) -> Iterator[V]:
        """The values in key order; arguments as for `items`."""
        return (value for _, value in self.items(start, stop, prefix=prefix, reverse=reverse, limit=limit))

    def __iter__(self) -> Iterator[K]:
        return self.keys()

    def clear(self, start: K | None = None, stop: K | None = None, *, prefix: Any = None) -> None:
        """Remove all keys, or those of a range. Without indexes it reads nothing."""
        begin, end = self._span(start, stop, prefix)
        if self._field.indexes:
            for row, _ in list(self._staged.rows(begin, end)):
                self._reindex(row, None, None)
        self._field.cells.clear_range(self._view, (begin, end), self._parts_span(start, stop, prefix))

    def _rows(self, keys: Iterable[K]) -> dict[K, bytes]:
        """The row of each key; raises a CodecError if two are one in a dict, as 1, True and 1.0 are, but not here."""
        wanted: dict[K, bytes] = {}
        for key in keys:
            row = self._row(key)
            if wanted.setdefault(key, row) != row:
                raise CodecError(
                    f"{self._field.where}: {shown(key)} and another key of this `get_many` are two keys here, and one "
                    "in the dict that it returns: ask for them one by one"
                )
        return wanted

    def _row(self, key: K) -> bytes:
        return self._prefix + self._field.keys.pack(key)  # type: ignore[no-any-return]

    def _span(self, start: K | None, stop: K | None, prefix: Any) -> tuple[bytes, bytes]:
        begin, end = self._prefix, self._prefix + b"\xff"
        if prefix is not None:
            begin, end = self._prefix_span(prefix)
        if start is not None:
            begin = max(begin, self._row(start))
        if stop is not None:
            end = min(end, self._row(stop))
        return begin, max(begin, end)

    def _prefix_span(self, prefix: Any) -> tuple[bytes, bytes]:
        begin = self._prefix + self._field.keys.pack_prefix(prefix)
        # Of a key whose first elements these are the next one follows, or nothing; ff says that the last one goes on.
        return begin, after_prefix(begin) if self._field.keys.is_text else begin + ELEMENTS_END

    def _parts_span(self, start: K | None, stop: K | None, prefix: Any) -> tuple[bytes, bytes]:
        """Where the parts of the large values of a span begin and end, in terms of its rows."""
        begin, end = self._prefix, self._prefix + b"\xff"
        if prefix is not None:
            begin, end = self._prefix_span(prefix)
            if self._field.keys.is_text:
                begin = parts_of_text(begin)
            elif len(prefix) == len(self._field.keys.parts):  # a whole key
                begin, end = parts_of(begin)
        if start is not None:
            begin = max(begin, parts_from(self._row(start)))
        if stop is not None:
            end = min(end, parts_from(self._row(stop)))
        return begin, max(begin, end)

    def _reindex(self, row: bytes, offset: int | None, value: V | None) -> None:
        """Keep the indexes in step with a row that is about to get a value, or to lose it (None)."""
        key = row[len(self._prefix) :]
        data = self._staged.known(row)[1] if offset is not None else self._staged.read(row)
        old = None if data is None else self._field.cells.decode(self._view, row, data)
        for index in self._field.indexes:
            index.update(self._view, key, old, value)


class Map(Field, Generic[K, V]):
    """A sorted map from tuple-layer keys to typed values: `balance = Map(str, int)`.

    Args:
        key: int, str, bytes, bool, UUID, Versionstamp, an enum, or a tuple or dataclass of those.
        value: any storable type; values over 100 kB are split over several rows.
    """

    accessor = MapAccessor

    @overload
    def __init__(self: Map[K, V], key: type[K], value: type[V]) -> None: ...
    @overload
    def __init__(self: Map[K, Any], key: type[K], value: Any) -> None: ...
    @overload
    def __init__(self: Map[Any, Any], key: Any, value: Any) -> None: ...
    def __init__(self, key: Any, value: Any) -> None:
        self.key_type = key
        self.value_type = value
        self.indexes: list[Index[Any, Any]] = []

    def define(self, owner: type[State], name: str) -> None:
        super().define(owner, name)
        self.keys: KeyCodec[Any] = KeyCodec(self.key_type, self.where)
        self.cells = Cells(self.value_type, self.where, name)

    if TYPE_CHECKING:

        @overload
        def __get__(self, state: None, owner: type[State]) -> Map[K, V]: ...
        @overload
        def __get__(self, state: State, owner: type[State]) -> MapAccessor[K, V]: ...
        def __get__(self, state: State | None, owner: type[State]) -> Any: ...
