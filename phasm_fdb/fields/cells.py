"""Typed values in rows, with the large ones split.

FoundationDB takes values up to 100,000 bytes. A larger one is stored in parts under the overflow prefix, and its
own row holds a marker with their number. Overwriting must remove old parts without reading them first, so a field
that has ever held a large value is known as such (`StateView.large`), and only its writes pay for that.
"""

from __future__ import annotations

from typing import Any

from phasm_fdb.codec import Codec
from phasm_fdb.errors import CodecError
from phasm_fdb.fields.field import StateView
from phasm_fdb.keys import MAX_KEY_BYTES, MAX_VALUE_BYTES, versionstamp_offset
from phasm_fdb.storable import is_bounded

PART_BYTES = 90_000

#: MessagePack never begins a value with this byte.
MARKER = 0xC1
MARKERS = bytes([MARKER])
#: The row of a part has so many bytes behind those of the value's own row.
PART_NUMBER_BYTES = 3


class Cells:
    """The codec of one field's values, and how they lie in rows.

    Args:
        type_: the declared type of the values.
        where: the field, as errors name it.
        name: the field's name.
    """

    __slots__ = ("_bounded", "_codec", "_name", "_where")

    def __init__(self, type_: Any, where: str, name: str) -> None:
        self._codec: Codec[Any] = Codec(type_, where)
        self._bounded = is_bounded(type_)
        self._where = where
        self._name = name

    def decode(self, view: StateView, key: bytes, data: bytes) -> Any:
        """The value that the row `key` holds as `data`, with its parts fetched if it has them.

        Raises:
            CodecError: that is no value of the field; names the row.
        """
        try:
            if data.startswith(MARKERS):
                data = self._joined(view, key, data)
            return self._codec.decode(data)
        except CodecError as error:
            raise error.at("the value", key) from error

    def _joined(self, view: StateView, key: bytes, marker: bytes) -> bytes:
        """The parts of a large value together."""
        parts = [part for _, part in view.staged.rows(*_parts(view, key))]
        if len(marker) != 3 or len(parts) != int.from_bytes(marker[1:], "big"):
            raise CodecError(f"{self._where}: {len(parts)} parts are there of a large value with the marker {marker!r}")
        return b"".join(parts)

    def encode(self, key: bytes, value: Any) -> bytes:
        """The bytes of a value for the row `key`; raises a CodecError if either does not fit."""
        if len(key) > MAX_KEY_BYTES:
            check_key(key, self._where)
        return self._codec.encode(value)

    def write(self, view: StateView, key: bytes, data: bytes, offset: int | None = None) -> None:
        """Store an encoded value under the row `key`, whose incomplete versionstamp, if any, is at `offset`."""
        if not self._bounded:
            self.forget_parts(view, key)
            if len(data) > MAX_VALUE_BYTES:
                data = self._split(view, key, data, offset)
        if offset is None:
            view.staged.set(key, data)
        else:
            put(view, key, data, offset)

    def clear(self, view: StateView, key: bytes) -> None:
        """Remove the value of the row `key`."""
        if not self._bounded:
            self.forget_parts(view, key)
        view.staged.clear(key)

    def clear_range(self, view: StateView, rows: tuple[bytes, bytes], parts: tuple[bytes, bytes]) -> None:
        """Remove the values of all rows of a range.

        Args:
            rows: the range.
            parts: where the parts of their values begin and end, in terms of rows (see `parts_from` and `parts_of`).
        """
        begin, end = rows
        view.staged.clear_range(begin, end)
        if self._name in view.large:
            begin, end = parts
            view.staged.clear_range(_overflow(view, begin), _overflow(view, end))

    def forget_parts(self, view: StateView, key: bytes) -> None:
        """Remove the parts of the value that is about to be replaced, if it can have any."""
        if self._name in view.large:
            known, old = view.staged.known(key)
            if not known or (old is not None and old.startswith(MARKERS)):
                view.staged.clear_range(*_parts(view, key))

    def _split(self, view: StateView, key: bytes, data: bytes, offset: int | None) -> bytes:
        if offset is not None:
            raise CodecError(
                f"{self._where}: a value of {len(data)} bytes is too large for a key from new_id(), whose values have "
                f"at most {MAX_VALUE_BYTES} bytes"
            )
        view.large.add(self._name)
        begin, _ = _parts(view, key)
        count = 0
        for count, start in enumerate(range(0, len(data), PART_BYTES), 1):
            view.staged.set(begin + count.to_bytes(1, "big"), data[start : start + PART_BYTES])
        return bytes([MARKER]) + count.to_bytes(2, "big")


def parts_from(row: bytes) -> bytes:
    """Where the parts begin of the value of a whole row and of those behind it, and those end of the rows before it.

    The parts of "a" lie behind "a\\0", which is a later row: see `parts_of`.
    """
    return row + b"\xff"


def parts_of_text(prefix: bytes) -> bytes:
    """Where the parts begin of the values of all rows that begin with this beginning of a string or of bytes.

    Where it ends in a zero byte, which is packed as 00 ff, the parts come first of the row that ends before that byte.
    """
    return prefix + b"\x00\xff" if prefix.endswith(b"\xff") else prefix


def put(view: StateView, key: bytes, data: bytes, offset: int | None) -> None:
    """Set a row, whose key the commit completes if it has an incomplete versionstamp at `offset`."""
    if offset is None:
        view.staged.set(key, data)
    else:
        view.staged.set_versionstamped_key(key + offset.to_bytes(4, "little"), data)


def incomplete_at(key: bytes, prefix: bytes) -> int | None:
    """Where the incomplete versionstamp of a row's key is, if it has one."""
    return versionstamp_offset(key, len(prefix))


def check_key(key: bytes, where: str) -> None:
    """Raise a CodecError if a row's key is longer than FoundationDB takes."""
    if len(key) > MAX_KEY_BYTES:
        raise CodecError(f"{where}: the key has {len(key)} bytes with its prefix; FoundationDB takes {MAX_KEY_BYTES}")


def _overflow(view: StateView, key: bytes) -> bytes:
    return view.overflow + key[len(view.rows) :]


def _parts(view: StateView, key: bytes) -> tuple[bytes, bytes]:
    """The range of the rows that hold the parts of the value of `key`."""
    return parts_of(_overflow(view, key))


def parts_of(row: bytes) -> tuple[bytes, bytes]:
    """Where the parts of the value of a row begin and end; there are fewer than 255.

    No tuple-layer element begins with ff, but a zero byte within a string is packed as 00 ff: the row of "a\\0b" is
    that of "a" with ff and more behind it. There a zero byte has ff behind it, and here the number of a part.
    """
    return row + b"\xff\x00", row + b"\xff\x00\xff"
