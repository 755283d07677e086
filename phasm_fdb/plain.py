"""Plain values to bytes and back: MessagePack, as every row of a layer is stored.

A plain value is None, a bool, int, float, str or bytes, or a list or dict of plain values. This is the one place that
makes bytes of them, and the one that reads them: whatever is wrong with either is a CodecError.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgpack

from phasm_fdb.errors import CodecError, shown

#: How many lists and dicts a stored value may lie in, well below what the interpreter's stack has room for.
MAX_DEPTH = 100

#: The types that an item of a stored list may be of; None for any.
Kinds = tuple[type, ...] | None


def to_bytes(raw: Any) -> bytes:
    """The bytes of a plain value; raises a CodecError if it is none."""
    try:
        return msgpack.packb(raw)  # type: ignore[no-any-return]
    except Exception as error:  # MessagePack has no one error of its own for this
        raise CodecError(f"{shown(raw)} cannot be stored: {error}") from error


def from_bytes(data: bytes) -> Any:
    """The plain value of these bytes; raises a CodecError if they are not those of one."""
    try:
        return msgpack.unpackb(data, strict_map_key=False)
    except Exception as error:  # nor for this: ValueError, TypeError, MemoryError
        raise CodecError(f"these bytes are not MessagePack: {shown(data)}: {shown(error)}") from error


def list_from_bytes(data: bytes, kinds: Sequence[Kinds], optional: int = 0) -> list[Any]:
    """The items of a stored list.

    Args:
        kinds: of what types the items are.
        optional: how many of the last ones may be left out.

    Raises:
        CodecError: the bytes are not those of such a list.
    """
    items = from_bytes(data)
    check_list(items, kinds, optional)
    return items  # type: ignore[no-any-return]


def check_list(items: Any, kinds: Sequence[Kinds], optional: int = 0) -> None:
    """Raise a CodecError unless this is a list of items of these types, of which the last may be left out."""
    if type(items) is not list or not len(kinds) - optional <= len(items) <= len(kinds):
        raise CodecError(f"{shown(items)} is stored where a list of {len(kinds)} belongs")
    for number, (item, expected) in enumerate(zip(items, kinds, strict=False)):
        if expected is not None and type(item) not in expected:
            names = " or ".join(kind.__name__ for kind in expected)
            raise CodecError(f"item {number} of the stored list is {shown(item)}, and should be of type {names}")


def is_too_deep(raw: Any) -> bool:
    """Whether more than `MAX_DEPTH` lists and dicts of a plain value lie in each other."""
    if type(raw) is not list and type(raw) is not dict:
        return False
    level: list[Any] = [raw]
    for _ in range(MAX_DEPTH):
        if not level:
            return False
        level = _containers(item for one in level for item in (one if type(one) is list else one.values()))
    return bool(level)


def _containers(items: Iterable[Any]) -> list[Any]:
    return [item for item in items if type(item) is list or type(item) is dict]
