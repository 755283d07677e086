"""A single value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

from phasm_fdb.fields.cells import Cells
from phasm_fdb.fields.field import Accessor, Field

if TYPE_CHECKING:
    from phasm_fdb.state import State

V = TypeVar("V")
D = TypeVar("D")


class ValueAccessor(Accessor, Generic[V]):
    """`state.field` of a `Value`."""

    __slots__ = ()

    def get(self) -> V:
        """The value, or the field's default if it was never set."""
        data = self._staged.read(self._prefix)
        if data is None:
            return self._field.default  # type: ignore[no-any-return]
        return self._field.cells.decode(self._view, self._prefix, data)  # type: ignore[no-any-return]

    def set(self, value: V) -> None:
        """Replace the value; raises a CodecError if it is not of the declared type."""
        cells = self._field.cells
        cells.write(self._view, self._prefix, cells.encode(self._prefix, value))

    def clear(self) -> None:
        """Go back to the default."""
        self._field.cells.clear(self._view, self._prefix)


class Value(Field, Generic[V, D]):
    """A single typed value: `limit = Value(int, 100)`.

    Args:
        type_: the type of the value.
        default: what `get` gives until `set` was called; it must not be mutable.
    """

    accessor = ValueAccessor

    @overload
    def __init__(self: Value[V, None], type_: type[V], default: None = None) -> None: ...
    @overload
    def __init__(self: Value[V, V], type_: type[V], default: V) -> None: ...
    @overload
    def __init__(self: Value[Any, Any], type_: Any, default: Any = None) -> None: ...
    def __init__(self, type_: Any, default: Any = None) -> None:
        self.type = type_
        self.default = default

    def define(self, owner: type[State], name: str) -> None:
        super().define(owner, name)
        self.cells = Cells(self.type, self.where, name)

    if TYPE_CHECKING:

        @overload
        def __get__(self, state: None, owner: type[State]) -> Value[V, D]: ...
        @overload
        def __get__(self, state: State, owner: type[State]) -> ValueAccessor[V | D]: ...
        def __get__(self, state: State | None, owner: type[State]) -> Any: ...
