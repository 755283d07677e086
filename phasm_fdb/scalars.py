"""Single values to what is stored of them, and back: strictly, where cattrs' own hooks would take "12" for an int.

What is made here can be stored as it is: text has no lone surrogates, and ints fit in 64 bits.
"""

from __future__ import annotations

import enum
import typing
from collections.abc import Callable
from typing import Any
from uuid import UUID

from fdb.tuple import Versionstamp

from phasm_fdb.errors import shown

Convert = Callable[[Any], Any]


class Mismatch(TypeError):
    """A value is not of the expected type."""


class Unknown(Mismatch):
    """A stored value has a type, a field or a member that this code does not know: newer code wrote it."""


def _exactly(type_: type) -> Convert:
    article = "an" if type_.__name__[0] in "aeiou" else "a"

    def check(value: Any, _type: Any = None) -> Any:
        if type(value) is not type_:
            raise Mismatch(f"{shown(value)} is not {article} {type_.__name__}")
        return value

    return check


def _str(value: Any, _type: Any = None) -> str:
    if type(value) is not str:
        raise Mismatch(f"{shown(value)} is not a str")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise Mismatch(f"{shown(value)} has no UTF-8 form: {error}") from None
    return value


def _int(value: Any, _type: Any = None) -> int:
    if type(value) is not int:
        raise Mismatch(f"{shown(value)} is not an int")
    if not -(2**63) <= value < 2**64:
        raise Mismatch(f"{shown(value)} does not fit in 64 bits")
    return value


def _float(value: Any, _type: Any = None) -> float:
    if type(value) is float:
        return value
    if type(value) is int:
        try:
            return float(value)
        except OverflowError:
            raise Mismatch(f"an int of {value.bit_length()} bits does not fit in a float") from None
    raise Mismatch(f"{shown(value)} is not a float")


def _plain(value: Any) -> Any:
    """A value of no declared type: only what MessagePack gives back as it was."""
    kind = type(value)
    if kind is int:
        return _int(value)
    if kind is str:
        return _str(value)
    if value is None or kind is bool or kind is bytes or kind is float:
        return value
    if kind is list:
        return [_plain(item) for item in value]
    if kind is dict:
        return {_plain(key): _plain(item) for key, item in value.items()}
    raise Mismatch(
        f"{shown(value)} is not a plain value (None, bool, int, float, str, bytes, list, dict): declare its type"
    )


def _uuid_to_bytes(value: Any) -> bytes:
    if type(value) is not UUID:
        raise Mismatch(f"{shown(value)} is not a UUID")
    return bytes(value.bytes)


def _uuid_from_bytes(raw: Any) -> UUID:
    if type(raw) is not bytes or len(raw) != 16:
        raise Mismatch(f"{shown(raw)} is not the 16 bytes of a UUID")
    return UUID(bytes=raw)


def _versionstamp_to_bytes(value: Any) -> bytes:
    if type(value) is not Versionstamp:
        raise Mismatch(f"{shown(value)} is not a Versionstamp")
    if not value.is_complete():
        raise Mismatch("an id from new_id() is unknown until the commit: it can be a key, not part of a value")
    return b"".join((value.tr_version, value.user_version.to_bytes(2, "big")))


def _versionstamp_from_bytes(raw: Any) -> Versionstamp:
    if type(raw) is not bytes or len(raw) != Versionstamp.LENGTH:
        raise Mismatch(f"{shown(raw)} is not the 12 bytes of a versionstamp")
    return Versionstamp.from_bytes(raw)


def _none(value: Any) -> None:
    if value is not None:
        raise Mismatch(f"{shown(value)} is not None")


SCALARS: dict[Any, tuple[Convert, Convert]] = {
    bool: (_exactly(bool), _exactly(bool)),
    int: (_int, _int),
    float: (_float, _float),
    str: (_str, _str),
    bytes: (_exactly(bytes), _exactly(bytes)),
    UUID: (_uuid_to_bytes, _uuid_from_bytes),
    Versionstamp: (_versionstamp_to_bytes, _versionstamp_from_bytes),
    None: (_none, _none),
    type(None): (_none, _none),
    Any: (_plain, _plain),
}


def enum_to(cls: Any) -> Convert:
    """A member to its value."""

    def convert(member: Any) -> Any:
        if type(member) is not cls:
            raise Mismatch(f"{shown(member)} is not a {cls.__name__}")
        return member.value

    return convert


def enum_from(cls: Any) -> Convert:
    """A stored value to its member."""
    members = {(type(member.value), member.value): member for member in cls}

    def convert(raw: Any) -> Any:
        if type(raw) not in (int, str):
            raise Mismatch(f"{shown(raw)} is not a value of {cls.__name__}")
        member = members.get((type(raw), raw))
        if member is None and issubclass(cls, enum.Flag) and type(raw) is int:
            return _flags(cls, raw)
        if member is None:
            raise Unknown(f"{shown(raw)} is not a value of {cls.__name__}")
        return member

    return convert


def _flags(cls: Any, raw: int) -> Any:
    """Several flags together, which are no member by themselves."""
    try:
        flags = cls(raw)
    except ValueError:
        raise Unknown(f"{shown(raw)} is not a value of {cls.__name__}") from None
    if flags.value != raw or type(flags) is not cls:
        raise Unknown(f"{shown(raw)} is not a value of {cls.__name__}")
    return flags


def literal(type_: Any, unknown: type[Mismatch]) -> Convert:
    """A value of a Literal, on both ways; `unknown` is raised for one that it does not list."""
    arguments = typing.get_args(type_)
    allowed = {(type(value), value) for value in arguments}
    kinds = {type(value) for value in arguments}
    names = ", ".join(map(repr, arguments))

    def convert(value: Any) -> Any:
        if type(value) not in kinds:
            raise Mismatch(f"{shown(value)} is not one of {names}")
        if (type(value), value) not in allowed:
            raise unknown(f"{shown(value)} is not one of {names}")
        return value

    return convert
