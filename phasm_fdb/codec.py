"""Typed values to MessagePack and back, strictly.

A dataclass is stored as a map of its fields by name; a member of a union has its class name beside them, under
`$`; an enum is stored as its value. Strict means that an int field does not take "12" or True, and that an unknown
field or tag is an error that names it. Sets are refused: their order differs between processes, and one state
would have many encodings.

How a type may change while old bytes exist: a new field with a default, a new member of a union, a renamed class
that lists its old names in `__aliases__`.
"""

from __future__ import annotations

from typing import Any, Generic, TypeVar

import msgpack

from phasm_fdb.converter import Mismatch, structure_hook, structure_union, unstructure_hook, unstructure_union
from phasm_fdb.errors import CodecError, MachineDefinitionError
from phasm_fdb.storable import is_dataclass, refuse_unstorable

T = TypeVar("T")


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
        if tagged and is_dataclass(type_):
            self._unstructure, self._structure = unstructure_union(type_), structure_union(type_)
        else:
            self._unstructure, self._structure = unstructure_hook(type_), structure_hook(type_)

    def encode(self, value: T) -> bytes:
        """The value's bytes; raises a CodecError that names the field and value which do not fit the type."""
        raw = self.to_raw(value)
        try:
            return msgpack.packb(raw)  # type: ignore[no-any-return]
        except (ValueError, OverflowError, UnicodeEncodeError) as error:
            raise CodecError(f"{self.where}: {value!r} cannot be encoded: {error}") from error

    def decode(self, data: bytes) -> T:
        """The value of these bytes; raises a CodecError if they do not hold a value of the type."""
        try:
            raw = msgpack.unpackb(data, strict_map_key=False)
        except ValueError as error:
            raise CodecError(f"{self.where}: these bytes are not MessagePack: {data[:40]!r}") from error
        return self.from_raw(raw)

    def to_raw(self, value: T) -> Any:
        """The value as plain lists, maps and scalars, to be part of a larger record; raises a CodecError."""
        try:
            return self._unstructure(value)
        except Mismatch as error:
            raise self._error(type(value).__name__, error) from None

    def from_raw(self, raw: Any) -> T:
        """The value of what `to_raw` gave; raises a CodecError."""
        try:
            return self._structure(raw)  # type: ignore[no-any-return]
        except Mismatch as error:
            raise self._error("stored value", error) from None

    def _error(self, value: str, error: Mismatch) -> CodecError:
        place = f"{value}{error.path}: " if error.path else ""
        return CodecError(f"{self.where}: {place}{error}")
