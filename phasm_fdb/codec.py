"""Typed values to MessagePack and back, strictly.

A dataclass is stored as a map of its fields by name; a member of a union has its class name beside them, under
`$`; an enum is stored as its value. Strict means that an int field does not take "12" or True, and that an unknown
field or tag is an error that names it. Sets are refused: their order differs between processes, and one state
would have many encodings.

A field that has its default is not stored, and reading fills the default in. So code that does not have the field yet
reads what code that has it wrote, as long as nothing sets it. And code never drops a field that it does not know, since
it cannot read a value that has one (`NewerValue`).

How a type may change while old bytes exist: a new field with a default, a new member of a union, a renamed class
that lists its old names in `__aliases__`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Generic, TypeVar

from phasm_fdb import plain
from phasm_fdb.converter import Direction, Way, path_to_mismatch, union_way, way_of
from phasm_fdb.errors import CodecError, MachineDefinitionError, NewerValue
from phasm_fdb.scalars import Mismatch, Unknown
from phasm_fdb.storable import is_dataclass, is_kept, may_nest, refuse_unstorable

T = TypeVar("T")

#: How values are stored: 1 has all fields of a dataclass, 2 leaves out those that have their default. Both are read.
FORMAT = 2

_format: ContextVar[int] = ContextVar("phasm_fdb_format", default=FORMAT)


@contextmanager
def writing_format(number: int) -> Iterator[None]:
    """Store values in this format meanwhile, as a replay does that has to come to the bytes of an earlier version."""
    token = _format.set(number)
    try:
        yield
    finally:
        _format.reset(token)


class Codec(Generic[T]):
    """Encodes, decodes and checks the values of one declared type.

    Args:
        type_: the type or union.
        where: what the type is declared for, as errors name it, such as "Input of Wallet".
        tagged: write the class name also where the type is a single dataclass, so that it can become a union.

    Raises:
        MachineDefinitionError: the type cannot be stored; names the part and what to use instead.
    """

    def __init__(self, type_: Any, where: str, *, tagged: bool = False) -> None:
        self.type = type_
        self.where = where
        try:
            refuse_unstorable(type_)
        except MachineDefinitionError as error:
            raise MachineDefinitionError(f"{where}: {error}") from None
        make = union_way if tagged and is_dataclass(type_) else way_of
        self._sparse, self._whole, self._back = (make(type_, direction) for direction in Direction)
        self._may_nest = may_nest(type_)
        self._is_kept = is_kept(type_)

    def encode(self, value: T) -> bytes:
        """The value's bytes; raises a CodecError that names the field and value which do not fit the type."""
        return plain.to_bytes(self.to_raw(value))

    def decode(self, data: bytes) -> T:
        """The value of these bytes.

        Raises:
            CodecError: they do not hold a value of the type; a NewerValue if newer code may have written it.
        """
        try:
            raw = plain.from_bytes(data)
        except CodecError as error:
            raise CodecError(f"{self.where}: {error}") from error
        return self.from_raw(raw)

    def to_raw(self, value: T) -> Any:
        """The value as plain lists, maps and scalars, to be part of a larger record; raises a CodecError."""
        way = self._sparse if _format.get() == FORMAT else self._whole
        try:
            raw = way.convert(value)
        except Mismatch as error:
            raise self._error(type(value).__name__, way, value, error) from None
        except RecursionError:
            raise self._too_deep(type(value).__name__) from None
        if self._may_nest and plain.is_too_deep(raw):
            raise self._too_deep(type(value).__name__)
        return raw

    def from_raw(self, raw: Any) -> T:
        """The value of what `to_raw` gave; raises as `decode` does."""
        try:
            return self._back.convert(raw)  # type: ignore[no-any-return]
        except Mismatch as error:
            raise self._error("stored value", self._back, raw, error) from None
        except RecursionError:
            raise self._too_deep("stored value") from None

    def as_read(self, value: T) -> T:
        """The value as it would come back from the database: a copy, unless it is the same and nobody can change it."""
        kind: Any = type(value)
        if self._is_kept or (is_dataclass(kind) and is_kept(kind)):
            return value
        return self.from_raw(self.to_raw(value))

    def _error(self, value: str, way: Way, culprit: Any, error: Mismatch) -> CodecError:
        try:
            path = path_to_mismatch(way, culprit)
        except RecursionError:
            return self._too_deep(value)
        kind = NewerValue if isinstance(error, Unknown) else CodecError
        return kind(f"{self.where}: {value}{path}: {error}" if path else f"{self.where}: {error}")

    def _too_deep(self, value: str) -> CodecError:
        return CodecError(
            f"{self.where}: {value} has more than {plain.MAX_DEPTH} lists, dicts and dataclasses in each other: keep "
            "it flat, such as in a Map by path"
        )
