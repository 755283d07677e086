"""An append-only sequence in commit order."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

from fdb.tuple import Versionstamp

from phasm_fdb.codec import Codec
from phasm_fdb.errors import CodecError
from phasm_fdb.fields.cells import put
from phasm_fdb.fields.field import Accessor, Field
from phasm_fdb.keys import check_size, pack_element, unpack_element

if TYPE_CHECKING:
    from phasm_fdb.state import State

V = TypeVar("V")


class LogAccessor(Accessor, Generic[V]):
    """`state.field` of a `Log`."""

    __slots__ = ()

    def append(self, value: V) -> None:
        """Add an entry after all committed ones. It reads nothing, so concurrent appends do not conflict.

        Raises:
            CodecError: the value is not of the declared type, or larger than 100,000 bytes.
        """
        data = check_size(self._field.codec.encode(value), f"{self._field.where}: the entry")
        stamp = Versionstamp.incomplete(self._view.next_user_version())
        put(self._view, self._prefix + pack_element(stamp), data, len(self._prefix) + 1)

    def items(
        self, after: Versionstamp | None = None, reverse: bool = False, limit: int = 0
    ) -> Iterator[tuple[Versionstamp, V]]:
        """The entries with their versionstamps, in commit order; those of this transition have incomplete ones.

        Args:
            after: only entries behind this one.
            reverse: the newest first.
            limit: at most so many; 0 for all.
        """
        begin = self._prefix + (b"" if after is None else pack_element(after) + b"\0")
        for key, data in self._staged.rows(begin, self._prefix + b"\xff", limit, reverse):
            try:
                stamp = unpack_element(key[len(self._prefix) :])
                value = self._field.codec.decode(data)
            except CodecError as error:
                raise error.at("the entry", key) from error
            yield stamp, value

    def __iter__(self) -> Iterator[V]:
        """The entries in commit order."""
        return (value for _, value in self.items())

    def last(self, count: int = 1) -> list[V]:
        """The newest `count` entries, the newest first."""
        return [value for _, value in self.items(reverse=True, limit=count)]


class Log(Field, Generic[V]):
    """An append-only log, ordered by the versionstamp of the commit: `history = Log(Event)`."""

    accessor = LogAccessor

    @overload
    def __init__(self: Log[V], type_: type[V]) -> None: ...
    @overload
    def __init__(self: Log[Any], type_: Any) -> None: ...
    def __init__(self, type_: Any) -> None:
        self.type = type_

    def define(self, owner: type[State], name: str) -> None:
        super().define(owner, name)
        self.codec: Codec[Any] = Codec(self.type, self.where)

    if TYPE_CHECKING:

        @overload
        def __get__(self, state: None, owner: type[State]) -> Log[V]: ...
        @overload
        def __get__(self, state: State, owner: type[State]) -> LogAccessor[V]: ...
        def __get__(self, state: State | None, owner: type[State]) -> Any: ...
