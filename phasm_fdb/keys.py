"""Typed keys to the tuple layer's bytes and back.

The bytes are the tuple layer's own (https://apple.github.io/foundationdb/data-modeling.html), so keys sort as
their values do and other languages read them. A key of several elements is a `tuple[...]` or a dataclass, whose
fields are the elements in order; an enum is stored as its value.

Common cases are packed here without `fdb.tuple`, which is general and several times slower, and which needs
libfdb_c to pack a versionstamp.
"""

from __future__ import annotations

import dataclasses
import enum
import typing
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar
from uuid import UUID

import fdb.tuple
from fdb.tuple import Versionstamp

from phasm_fdb.errors import CodecError, MachineDefinitionError, shown
from phasm_fdb.storable import UNIONS, field_types, is_dataclass, is_enum, name_of

K = TypeVar("K")

SCALARS = (int, str, bytes, bool, float, UUID, Versionstamp)

#: FoundationDB's limits (https://apple.github.io/foundationdb/known-limitations.html).
MAX_KEY_BYTES = 10_000
MAX_VALUE_BYTES = 100_000

#: How many tuples an element may lie in, well below what the interpreter's stack has room for.
MAX_DEPTH = 100
#: The longest integer that the tuple layer has a form for: 255 bytes.
MAX_INT_BITS = 2040

#: What stands for the ten bytes of a versionstamp until the commit fills them in.
INCOMPLETE = b"\xff" * 10
VERSIONSTAMP_CODE = b"\x33"


def pack_element(value: Any, depth: int = 0) -> bytes:
    """One element as the tuple layer packs it.

    Args:
        depth: in how many tuples it lies.

    Raises:
        CodecError: the tuple layer has no form for it.
    """
    kind = type(value)
    if kind is str:
        try:
            encoded: bytes = value.encode()
        except UnicodeEncodeError as error:
            raise CodecError(f"{shown(value)} cannot be a key: {error}") from None
        return b"\x02" + (encoded.replace(b"\0", b"\0\xff") if "\0" in value else encoded) + b"\0"
    if kind is int and 0 <= value < 2**64 - 1:
        if value < len(_SMALL_INTS):
            small: bytes = _SMALL_INTS[value]
            return small
        size = (value.bit_length() + 7) >> 3
        return b"".join((_INT_CODES[size], value.to_bytes(size, "big")))
    if kind is bytes:
        return b"".join((b"\x01", value.replace(b"\0", b"\0\xff"), b"\0"))
    if kind is Versionstamp:
        return b"".join((VERSIONSTAMP_CODE, value.tr_version or INCOMPLETE, value.user_version.to_bytes(2, "big")))
    if kind is tuple:
        if depth == MAX_DEPTH:
            raise CodecError(f"{shown(value)} cannot be a key: tuples in tuples go {MAX_DEPTH} deep at most")
        packed = [b"\0\xff" if item is None else pack_element(item, depth + 1) for item in value]
        return b"\x05" + b"".join(packed) + b"\0"
    if value is not None and kind not in SCALARS:
        raise CodecError(
            f"{shown(value)} cannot be a key: use int, str, bytes, bool, float, UUID, None, a versionstamp, "
            "or a tuple of those"
        )
    if kind is int and value.bit_length() > MAX_INT_BITS:
        raise CodecError(f"an int of {value.bit_length()} bits cannot be a key: the tuple layer has {MAX_INT_BITS}")
    return bytes(fdb.tuple.pack((value,)))


def is_incomplete(id: Any) -> bool:
    """Whether this is an id from `new_id()`, whose versionstamp the commit has yet to fill in."""
    return type(id) is Versionstamp and not id.is_complete()


def pack_incomplete(user_version: int) -> bytes:
    """An incomplete versionstamp, as `pack_element` packs it."""
    return b"".join((VERSIONSTAMP_CODE, INCOMPLETE, user_version.to_bytes(2, "big")))


_INT_CODES = [bytes([0x14 + size]) for size in range(9)]
#: Lanes, numbers of parts, and many an application's keys.
_SMALL_INTS: list[bytes] = [bytes([0x14]), *(bytes([0x15, value]) for value in range(1, 256))]


def check_size(data: bytes, what: str, most: int = MAX_VALUE_BYTES) -> bytes:
    """The value of a row that cannot be split, if FoundationDB takes it; a CodecError that names it otherwise."""
    if len(data) > most:
        raise CodecError(
            f"{what} takes {len(data)} bytes, and one row holds {most}: keep the large part in a Map or a "
            "Value, which are split over several rows, or in a store of its own, and pass its key"
        )
    return data


def pack(elements: Sequence[Any]) -> bytes:
    """A tuple of elements as the tuple layer packs it."""
    return b"".join(map(pack_element, elements))


def unpack(data: bytes) -> tuple[Any, ...]:
    """The elements of what `pack` gave; raises a CodecError if these bytes are no tuple."""
    try:
        return tuple(fdb.tuple.unpack(data))
    except Exception as error:  # whatever the binding stumbles over: it has no error of its own for this
        raise CodecError(f"{shown(data)} is no tuple of the tuple layer: {shown(error)}") from error


def unpack_element(data: bytes) -> Any:
    """The element of what `pack_element` gave; raises a CodecError if these bytes are not exactly one."""
    elements = unpack(data)
    if len(elements) != 1:
        raise CodecError(f"{shown(data)} is not one element of the tuple layer, but {len(elements)}")
    return elements[0]


def versionstamp_offset(data: bytes, element_start: int = 0) -> int | None:
    """Where the ten bytes of the incomplete versionstamp of a packed key begin, or None if it has none.

    Only elements from `element_start` on are looked at: what comes before is a prefix of any bytes.

    Raises:
        CodecError: there are two, and FoundationDB fills in one.
    """
    marker = VERSIONSTAMP_CODE + INCOMPLETE
    position = data.find(marker, element_start)
    if position < 0:
        return None
    if data.find(marker, position + len(marker)) >= 0:
        raise CodecError("a key can hold one id from new_id(), and this one holds two")
    return position + 1


class KeyCodec(Generic[K]):
    """Packs, unpacks and checks the keys of one declared type.

    Args:
        type_: int, str, bytes, bool, float, UUID, Versionstamp, an enum, or a tuple or dataclass of those; `Any`
            for whatever the tuple layer takes.
        where: what the key is declared for, as errors name it.
    """

    def __init__(self, type_: Any, where: str) -> None:
        self.type = type_
        self.where = where
        try:
            self.parts = _parts(type_)
            self._to_elements, self._from_elements = _conversion(type_, self.parts)
        except MachineDefinitionError as error:
            raise MachineDefinitionError(f"{where}: {error}") from None
        self._plain = type_ if type_ in (int, str) else None
        self.is_text = type_ in (str, bytes)
        self.may_be_incomplete = type_ is Any or any(part in (Versionstamp, Any) for part in self.parts)

    def pack(self, key: K) -> bytes:
        """The key's bytes; raises a CodecError that names the key if it is not of the declared type."""
        try:
            if type(key) is self._plain:
                return pack_element(key)
            return pack(self._to_elements(key))
        except (TypeError, AttributeError, CodecError) as error:
            raise CodecError(f"{self.where}: the key {shown(key)} is not a {name_of(self.type)}: {error}") from None

    def pack_prefix(self, prefix: Any) -> bytes:
        """What the bytes of all keys that start with `prefix` start with.

        For a key of several elements `prefix` is a tuple of the first ones; for str and bytes it is the beginning
        of the string.
        """
        if self.is_text:
            return self.pack(prefix)[:-1]
        try:
            if type(prefix) is not tuple or len(prefix) > len(self.parts):
                raise TypeError("expected a tuple of the first elements")
            return pack([_to_element(item, part) for item, part in zip(prefix, self.parts, strict=False)])
        except (TypeError, AttributeError, CodecError) as error:
            raise CodecError(f"{self.where}: the prefix {shown(prefix)} of {name_of(self.type)}: {error}") from None

    def unpack(self, data: bytes) -> K:
        """The key of these bytes; raises a CodecError if they are not a key of the declared type."""
        try:
            return self.from_elements(unpack(data))
        except CodecError as error:
            raise CodecError(f"{self.where}: {shown(data)} is not a key: {error}") from error

    def from_elements(self, elements: Sequence[Any]) -> K:
        """The key of these elements; raises a CodecError if they are not those of the declared type."""
        try:
            return self._from_elements(elements)  # type: ignore[no-any-return]
        except Exception as error:  # a key class may refuse its fields with any
            raise CodecError(
                f"{self.where}: {shown(elements)} is not a key of type {name_of(self.type)}: {error}"
            ) from error


def _parts(type_: Any) -> tuple[Any, ...]:
    """The declared types of a key's elements."""
    arguments = typing.get_args(type_)
    if typing.get_origin(type_) is tuple and Ellipsis not in arguments:
        parts = arguments
    elif is_dataclass(type_):
        parts = tuple(field_types(type_).values())
    else:
        parts = (type_,)
    for part in parts:
        _refuse_part(part)
    return parts


def _refuse_part(part: Any) -> None:
    if part is Any or part in SCALARS or part is type(None) or is_enum(part):
        return None
    if isinstance(part, typing.NewType):
        return _refuse_part(part.__supertype__)
    if typing.get_origin(part) in (tuple, *UNIONS):
        for argument in typing.get_args(part):
            if argument is not Ellipsis:
                _refuse_part(argument)
        return None
    if is_dataclass(part):
        for annotation in field_types(part).values():
            _refuse_part(annotation)
        return None
    raise MachineDefinitionError(
        f"{name_of(part)} cannot be a key: use int, str, bytes, bool, float, UUID, Versionstamp, an enum, or a tuple "
        "or dataclass of those"
    )


def _conversion(type_: Any, parts: tuple[Any, ...]) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
    """How a key becomes its elements, and the elements the key."""
    if is_dataclass(type_):
        names = [field.name for field in dataclasses.fields(type_)]

        def from_dataclass(key: Any) -> list[Any]:
            if type(key) is not type_:
                raise TypeError(f"expected {type_.__name__}")
            return [_to_element(getattr(key, name), part) for name, part in zip(names, parts, strict=True)]

        return from_dataclass, lambda elements: type_(*_from_elements(elements, parts))
    if typing.get_origin(type_) is tuple and Ellipsis not in typing.get_args(type_):

        def from_tuple(key: Any) -> list[Any]:
            if type(key) is not tuple or len(key) != len(parts):
                raise TypeError(f"expected a tuple of {len(parts)}")
            return [_to_element(item, part) for item, part in zip(key, parts, strict=True)]

        return from_tuple, lambda elements: tuple(_from_elements(elements, parts))
    (part,) = parts
    return lambda key: [_to_element(key, part)], lambda elements: _from_elements(elements, parts)[0]


def _from_elements(elements: Sequence[Any], parts: tuple[Any, ...]) -> list[Any]:
    if len(elements) != len(parts):
        raise ValueError(f"{len(elements)} elements instead of {len(parts)}")
    return [_from_element(element, part) for element, part in zip(elements, parts, strict=True)]


def _to_element(value: Any, part: Any) -> Any:
    """The tuple-layer element of a value, which must be exactly of the declared type."""
    kind = type(value)
    if kind is part or part is Any:
        if kind in SCALARS:
            return value
        return value.value if isinstance(value, enum.Enum) else _nested(value, part)
    if isinstance(part, typing.NewType):
        return _to_element(value, part.__supertype__)
    origin, arguments = typing.get_origin(part), typing.get_args(part)
    if origin in UNIONS:
        for argument in arguments:
            if argument is kind or typing.get_origin(argument) is kind:
                return _to_element(value, argument)
    if origin is tuple and kind is tuple:
        inner = arguments[:1] * len(value) if Ellipsis in arguments else arguments
        if len(inner) == len(value):
            return tuple(_to_element(item, part) for item, part in zip(value, inner, strict=True))
    raise TypeError(f"{shown(value)} is not of type {name_of(part)}")


def _nested(value: Any, part: Any) -> Any:
    """A dataclass inside a key is a nested tuple of its fields."""
    if part is not Any and is_dataclass(part):
        return tuple(_to_element(getattr(value, name), inner) for name, inner in field_types(part).items())
    return value


def _from_element(element: Any, part: Any) -> Any:
    kind = type(element)
    if kind is part or part is Any:
        return element
    if isinstance(part, typing.NewType):
        return _from_element(element, part.__supertype__)
    if is_enum(part):
        member = part(element)
        if type(member.value) is not kind:  # 1, True and 1.0 are three keys, and Python finds one member by all
            raise TypeError(f"{shown(element)} is not a value of {name_of(part)}")
        return member
    origin, arguments = typing.get_origin(part), typing.get_args(part)
    if origin in UNIONS:
        for argument in arguments:
            try:
                return _from_element(element, argument)
            except (TypeError, ValueError):
                continue
    if kind is tuple and is_dataclass(part):
        return part(*_from_elements(element, tuple(field_types(part).values())))
    if kind is tuple and origin is tuple:
        inner = arguments[:1] * len(element) if Ellipsis in arguments else arguments
        return tuple(_from_elements(element, inner))
    raise TypeError(f"{shown(element)} is not of type {name_of(part)}")


#: Behind the first elements of a key this sorts after all that the next ones can begin with, and before what continues
#: the last of them.
ELEMENTS_END = b"\xfe"


def after_prefix(prefix: bytes) -> bytes:
    """The first key behind all that start with `prefix`, which must not be all 0xff."""
    stripped = prefix.rstrip(b"\xff")
    return stripped[:-1] + bytes([stripped[-1] + 1])
