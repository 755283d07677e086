"""A number that is taken from or added to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, overload

from phasm_fdb.database.staged import decode_count, encode_count
from phasm_fdb.errors import CodecError, shown
from phasm_fdb.fields.field import Accessor, Field

if TYPE_CHECKING:
    from phasm_fdb.state import State

LIMIT = 2**63
COUNT_BYTES = 8


class CounterAccessor(Accessor):
    """`state.field` of a `Counter`."""

    __slots__ = ()

    def get(self) -> int:
        """The number; 0 at first. Raises a CodecError if something else is stored there."""
        data = self._staged.read(self._prefix)
        if data is not None and len(data) != COUNT_BYTES:
            raise CodecError(f"{self._field.where}: {shown(data)} is no 64-bit number").at("the value", self._prefix)
        return decode_count(data)

    def take(self) -> int:
        """Add 1 and return the new number: 1, 2, 3, ... The simplest id.

        All transitions that take from one counter conflict with each other; `actions.new_id()` conflicts with none.
        """
        number = self.get() + 1
        self.set(number)
        return number

    def add(self, number: int) -> None:
        """Add a number, which may be negative, without reading: it conflicts with no other `add`.

        The sum wraps around at 64 bits, as FoundationDB's `add` does.
        """
        self._check(number)
        self._staged.add(self._prefix, encode_count(number))

    def set(self, number: int) -> None:
        """Replace the number."""
        self._check(number)
        self._staged.set(self._prefix, encode_count(number))

    def _check(self, number: int) -> None:
        if type(number) is not int or not -LIMIT <= number < LIMIT:
            raise CodecError(f"{self._field.where}: {shown(number)} is not a 64-bit int")


class Counter(Field):
    """A 64-bit number: `next_id = Counter()`."""

    accessor = CounterAccessor

    if TYPE_CHECKING:

        @overload
        def __get__(self, state: None, owner: type[State]) -> Counter: ...
        @overload
        def __get__(self, state: State, owner: type[State]) -> CounterAccessor: ...
        def __get__(self, state: State | None, owner: type[State]) -> Any: ...
