"""A second way into a Map, kept in step with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

from phasm_fdb.errors import MachineDefinitionError
from phasm_fdb.fields.cells import check_key, put
from phasm_fdb.fields.field import Accessor, Field, StateView
from phasm_fdb.fields.map import Map, MapAccessor
from phasm_fdb.keys import KeyCodec, unpack, versionstamp_offset

if TYPE_CHECKING:
    from phasm_fdb.state import State

I = TypeVar("I")  # noqa: E741 - the type of the indexed values
K = TypeVar("K")


class IndexAccessor(Accessor, Generic[I, K]):
    """`state.field` of an `Index`."""

    __slots__ = ("_source",)

    def __init__(self, field: Any, view: StateView, state: State) -> None:
        super().__init__(field, view, state)
        self._source: MapAccessor[K, Any] = getattr(state, field.source.name)

    def keys(self, value: I, *, reverse: bool = False, limit: int = 0) -> Iterator[K]:
        """The keys of the Map whose value has this indexed value, in key order."""
        prefix = self._prefix + self._field.values.pack(value)
        for row, _ in self._staged.rows(prefix, prefix + b"\xff", limit, reverse):
            yield self._field.source.keys.unpack(row[len(prefix) :])

    def items(self, value: I, *, reverse: bool = False, limit: int = 0) -> Iterator[tuple[K, Any]]:
        """The keys and values of the Map with this indexed value, in key order."""
        for key in self.keys(value, reverse=reverse, limit=limit):
            yield key, self._source[key]

    def entries(
        self, start: I | None = None, stop: I | None = None, *, reverse: bool = False, limit: int = 0
    ) -> Iterator[tuple[I, K]]:
        """Pairs of indexed value and key, in order of the indexed values, for `start <= value < stop`."""
        values, keys = self._field.values, self._field.source.keys
        begin = self._prefix + (b"" if start is None else values.pack(start))
        end = self._prefix + (b"\xff" if stop is None else values.pack(stop))
        for row, _ in self._staged.rows(begin, max(begin, end), limit, reverse):
            elements = unpack(row[len(self._prefix) :])
            cut = len(values.parts)
            yield values.from_elements(elements[:cut]), keys.from_elements(elements[cut:])

    def __contains__(self, value: I) -> bool:
        return any(True for _ in self.keys(value, limit=1))


class Index(Field, Generic[I, K]):
    """An index over the values of a Map: `by_status = Index(requests, Status, lambda request: request.status)`.

    Args:
        source: the Map, a field of the same State.
        type_: the type of the indexed values, as for the keys of a Map.
        key: gives the indexed value of a Map's value; None keeps it out of the index. It is part of the machine,
            so it must be deterministic; changing it makes the stored index wrong.
    """

    accessor = IndexAccessor

    @overload
    def __init__(self: Index[I, K], source: Map[K, Any], type_: type[I], key: Callable[[Any], I | None]) -> None: ...
    @overload
    def __init__(self: Index[Any, K], source: Map[K, Any], type_: Any, key: Callable[[Any], Any]) -> None: ...
    def __init__(self, source: Map[Any, Any], type_: Any, key: Callable[[Any], Any]) -> None:
        self.source = source
        self.type = type_
        self.key = key

    def define(self, owner: type[State], name: str) -> None:
        super().define(owner, name)
        if not isinstance(self.source, Map):
            raise MachineDefinitionError(f"{self.where}: an Index is over a Map of the same State, not {self.source!r}")
        self.values: KeyCodec[Any] = KeyCodec(self.type, self.where)
        self.source.indexes.append(self)

    def update(self, view: StateView, key: bytes, old: Any, new: Any) -> None:
        """Move the entry of a Map's packed key from the old value's place to the new one's."""
        before, after = self._packed(old), self._packed(new)
        if before == after:
            return
        prefix = view.rows + self.packed_name
        if before is not None:
            view.staged.clear(prefix + before + key)
        if after is not None:
            row = prefix + after + key
            check_key(row, self.where)
            put(view, row, b"", versionstamp_offset(row, len(row) - len(key)))

    def _packed(self, value: Any) -> bytes | None:
        """The indexed value of a Map's value, packed: so two that Python takes for equal are told apart."""
        indexed = None if value is None else self.key(value)
        return None if indexed is None else self.values.pack(indexed)

    if TYPE_CHECKING:

        @overload
        def __get__(self, state: None, owner: type[State]) -> Index[I, K]: ...
        @overload
        def __get__(self, state: State, owner: type[State]) -> IndexAccessor[I, K]: ...
        def __get__(self, state: State | None, owner: type[State]) -> Any: ...
