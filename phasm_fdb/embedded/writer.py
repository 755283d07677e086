"""The writes of a transaction: what each call checks, in FoundationDB's order, before it is noted.

None of them raises for a key or a value that is not legal: the error is kept for the next read or commit.
Wrong types raise TypeError at once, as in the binding.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

from phasm_fdb.embedded.aliases import add_aliases
from phasm_fdb.embedded.lifecycle import Lifecycle
from phasm_fdb.embedded.mutation import (
    ADD,
    APPEND_IF_FITS,
    BIT_AND,
    BIT_OR,
    BIT_XOR,
    BYTE_MAX,
    BYTE_MIN,
    COMPARE_AND_CLEAR,
    MAX,
    MIN,
    OFFSET_LENGTH,
    SET_VERSIONSTAMPED_VALUE,
    STAMP_LENGTH,
    VALUE_SIZE_LIMIT,
    stamp_offset,
    versionstamp,
)
from phasm_fdb.embedded.selector import (
    END,
    METADATA_VERSION,
    SPECIAL,
    KeySelector,
    key_after,
    key_bytes,
    prefix_end,
    value_bytes,
)
from phasm_fdb.error_codes import (
    CLIENT_INVALID_OPERATION,
    INVERTED_RANGE,
    KEY_OUTSIDE_LEGAL_RANGE,
    KEY_TOO_LARGE,
    SPECIAL_KEYS_WRITE_DISABLED,
    VALUE_TOO_LARGE,
)
from phasm_fdb.errors import FDBError

KEY_SIZE_LIMIT = 10_000

_SET_METADATA_VERSION = (SET_VERSIONSTAMPED_VALUE, bytes(STAMP_LENGTH + OFFSET_LENGTH))
"""The one thing that may be done to the key of the metadata version."""


class Writer(Lifecycle):
    """The part of a transaction that writes."""

    __slots__ = ()

    @abstractmethod
    def get_key(self, key_selector: KeySelector) -> Any:
        """The key that a selector names (see `Reader`)."""

    # ----------------------------------------------------------------------------------------- set and clear

    def set(self, key: Any, value: Any) -> None:
        """Write `value` at `key`."""
        if type(key) is not bytes or type(value) is not bytes:
            key, value = key_bytes(key), value_bytes(value)
        with self._lock:
            if self._takes(key, value):
                self._attempt.set(key, value, True)
            else:
                self._defer_set(key, value)

    def _defer_set(self, key: bytes, value: bytes) -> None:
        self._defer(lambda _: self._set(key, value))

    def clear(self, key: Any) -> None:
        """Remove `key`, or the key that a selector names."""
        if isinstance(key, KeySelector):
            key = self.get_key(key)
        key = key_bytes(key)
        self._defer(lambda _: self._clear(key))

    def clear_range(self, begin: Any, end: Any) -> None:
        """Remove every key from `begin` to before `end`; keys or selectors, None for the ends of all keys."""
        low, high = self._bound(begin, b""), self._bound(end, END)
        self._defer(lambda _: self._clear_range(low, high))

    def clear_range_startswith(self, prefix: Any) -> None:
        """Remove every key that starts with `prefix`."""
        prefix = key_bytes(prefix)
        self.clear_range(prefix, prefix_end(prefix))

    def __setitem__(self, key: Any, value: Any) -> None:
        self.set(key, value)

    def __delitem__(self, key: Any) -> None:
        if isinstance(key, slice):
            self.clear_range(key.start, key.stop)
        else:
            self.clear(key)

    # ------------------------------------------------------------------------------------- atomic operations

    def add(self, key: Any, param: Any) -> None:
        """Add, as little-endian integers of the parameter's length."""
        self._atomic_operation(ADD, key, param)

    def bit_and(self, key: Any, param: Any) -> None:
        """Bitwise "and"."""
        self._atomic_operation(BIT_AND, key, param)

    def bit_or(self, key: Any, param: Any) -> None:
        """Bitwise "or"."""
        self._atomic_operation(BIT_OR, key, param)

    def bit_xor(self, key: Any, param: Any) -> None:
        """Bitwise "xor"."""
        self._atomic_operation(BIT_XOR, key, param)

    def append_if_fits(self, key: Any, param: Any) -> None:
        """Append, unless the value would become too large."""
        self._atomic_operation(APPEND_IF_FITS, key, param)

    def max(self, key: Any, param: Any) -> None:
        """Keep the larger, as little-endian unsigned integers."""
        self._atomic_operation(MAX, key, param)

    def min(self, key: Any, param: Any) -> None:
        """Keep the smaller, as little-endian unsigned integers."""
        self._atomic_operation(MIN, key, param)

    def byte_max(self, key: Any, param: Any) -> None:
        """Keep the larger, as byte strings."""
        self._atomic_operation(BYTE_MAX, key, param)

    def byte_min(self, key: Any, param: Any) -> None:
        """Keep the smaller, as byte strings."""
        self._atomic_operation(BYTE_MIN, key, param)

    def compare_and_clear(self, key: Any, param: Any) -> None:
        """Remove the key if it has just this value."""
        self._atomic_operation(COMPARE_AND_CLEAR, key, param)

    def set_versionstamped_key(self, key: Any, param: Any) -> None:
        """Write at a key that gets the commit's versionstamp, where the key's last four bytes say."""
        key, param = key_bytes(key), value_bytes(param)
        self._defer(lambda _: self._stamp_key(key, param))

    def set_versionstamped_value(self, key: Any, param: Any) -> None:
        """Write a value that gets the commit's versionstamp, where the value's last four bytes say."""
        self._atomic_operation(SET_VERSIONSTAMPED_VALUE, key, param)

    def _atomic_operation(self, code: int, key: Any, param: Any) -> None:
        key, param = key_bytes(key), value_bytes(param)
        with self._lock:
            if code != SET_VERSIONSTAMPED_VALUE and self._takes(key, param):
                self._attempt.operate(code, key, param, True)
                return
        self._defer(lambda _: self._operate(code, key, param))

    # ---------------------------------------------------------------------------------------- conflict ranges

    def add_read_conflict_range(self, begin: Any, end: Any) -> None:
        """Conflict as if `[begin, end)` had been read.

        Raises:
            FDBError: 2005 when `begin` is above `end`.
        """
        low, high = _range(begin, end)
        self._defer(lambda _: self._add_read_conflict(low, high))

    def add_read_conflict_key(self, key: Any) -> None:
        """Conflict as if `key` had been read."""
        key = key_bytes(key)
        self.add_read_conflict_range(key, key_after(key))

    def add_write_conflict_range(self, begin: Any, end: Any) -> None:
        """Let others conflict as if `[begin, end)` had been written.

        Raises:
            FDBError: 2005 when `begin` is above `end`.
        """
        low, high = _range(begin, end)
        self._defer(lambda _: self._add_conflict(low, high, self._attempt.add_write_conflict))

    def add_write_conflict_key(self, key: Any) -> None:
        """Let others conflict as if `key` had been written."""
        key = key_bytes(key)
        self.add_write_conflict_range(key, key_after(key))

    # --------------------------------------------------------------------------------------- what is checked

    def _takes(self, key: bytes, value: bytes) -> bool:
        """Whether a write can be noted at once, as nothing about it or the transaction is out of the ordinary."""
        return (
            self._plain
            and key < END
            and len(key) <= KEY_SIZE_LIMIT
            and len(value) <= VALUE_SIZE_LIMIT
            and not self._skip_write_conflict
            and self._promises is None
        )

    def _take_write_conflict(self) -> bool:
        """Whether this write is a write conflict: the option to leave it out is for one write."""
        skip, self._skip_write_conflict = self._skip_write_conflict, False
        return not skip

    def _set(self, key: bytes, value: bytes) -> None:
        if key == METADATA_VERSION:
            raise FDBError(CLIENT_INVALID_OPERATION)
        _refuse_special(key >= SPECIAL)
        conflict = self._take_write_conflict()
        self._check_write()
        _check_sizes(key, value)
        self._attempt.set(key, value, conflict)
        self._wrote(key, key_after(key), value)

    def _clear(self, key: bytes) -> None:
        conflict = self._take_write_conflict()
        self._check_write()
        _refuse_special(key >= SPECIAL)
        if key >= END:
            raise FDBError(KEY_OUTSIDE_LEGAL_RANGE)
        if len(key) <= KEY_SIZE_LIMIT:
            self._attempt.clear(key, conflict)
            self._wrote(key, key_after(key), None)

    def _clear_range(self, begin: bytes, end: bytes) -> None:
        if begin > end:
            raise FDBError(INVERTED_RANGE)
        conflict = self._take_write_conflict()
        self._check_write()
        _refuse_special(begin >= SPECIAL)
        if end > END:
            raise FDBError(KEY_OUTSIDE_LEGAL_RANGE)
        begin, end = _shortened(begin), _shortened(end)
        self._attempt.clear_range(begin, end, conflict)
        self._wrote(begin, end, None)

    def _operate(self, code: int, key: bytes, operand: bytes) -> None:
        conflict = self._take_write_conflict()
        self._check_write()
        if key != METADATA_VERSION:
            _check_sizes(key, operand)
        elif (code, operand) != _SET_METADATA_VERSION:
            raise FDBError(CLIENT_INVALID_OPERATION)
        if code == SET_VERSIONSTAMPED_VALUE:
            _stamp_place(operand)
        self._attempt.operate(code, key, operand, conflict)
        self._operated(key)

    def _stamp_key(self, key: bytes, value: bytes) -> None:
        self._take_write_conflict()
        self._check_write()
        _check_sizes(key, value)
        lowest, end = _landing(key, _stamp_place(key), self._attempt.cached_version)
        self._attempt.stamp_key(key, lowest, min(end, END), value)
        self._operated(key)

    def _operated(self, key: bytes) -> None:
        """Fire the transaction's own watches of `key`."""
        if self._promises is not None:
            for watch in [watch for watch in self._promises.watches if watch.key == key]:
                self._promises.fire(watch)

    def _add_read_conflict(self, begin: bytes, end: bytes) -> None:
        if begin == METADATA_VERSION and end == key_after(begin):
            self._check_write()
            self._attempt.add_read_conflict(begin, end)
        else:
            self._add_conflict(begin, end, self._attempt.add_read_conflict)

    def _add_conflict(self, begin: bytes, end: bytes, add: Any) -> None:
        self._check_write()
        if end > END:
            raise FDBError(KEY_OUTSIDE_LEGAL_RANGE)
        begin, end = _shortened(begin), _shortened(end)
        if begin < end:
            add(begin, end)

    def _wrote(self, begin: bytes, end: bytes, value: bytes | None) -> None:
        """Fire the transaction's own watches of `[begin, end)` that saw another value."""
        if self._promises is not None:
            for watch in list(self._promises.watches):
                if begin <= watch.key < end and watch.value != value:
                    self._promises.fire(watch)

    def _bound(self, key: Any, default: bytes) -> bytes:
        if key is None:
            return default
        if isinstance(key, KeySelector):
            key = self.get_key(key)
        return key_bytes(key)


add_aliases(Writer)


def _range(begin: Any, end: Any) -> tuple[bytes, bytes]:
    low, high = key_bytes(begin), key_bytes(end)
    if low > high:
        raise FDBError(INVERTED_RANGE)
    return low, high


def _refuse_special(special: bool) -> None:
    if special:
        raise FDBError(SPECIAL_KEYS_WRITE_DISABLED)


def _check_sizes(key: bytes, value: bytes) -> None:
    if key >= END:
        raise FDBError(KEY_OUTSIDE_LEGAL_RANGE)
    if len(key) > KEY_SIZE_LIMIT:
        raise FDBError(KEY_TOO_LARGE)
    if len(value) > VALUE_SIZE_LIMIT:
        raise FDBError(VALUE_TOO_LARGE)


def _stamp_place(parameter: bytes) -> int:
    """Where a versionstamp goes; raises 2000 when it does not fit there."""
    length = len(parameter) - OFFSET_LENGTH
    offset = stamp_offset(parameter) if length >= 0 else 0
    if offset + STAMP_LENGTH > length:
        raise FDBError(CLIENT_INVALID_OPERATION)
    return offset


def _landing(key: bytes, offset: int, version: int) -> tuple[bytes, bytes]:
    """Between which keys a versionstamped key can land: it is not lower than the version that was read."""
    head, tail = key[:offset], key[offset + STAMP_LENGTH : -OFFSET_LENGTH]
    return head + versionstamp(version, 0) + tail, head + b"\xff" * STAMP_LENGTH + tail + b"\0"


def _shortened(key: bytes) -> bytes:
    """A bound that is longer than any key can be, as the shortest one that parts the same keys."""
    return key[: KEY_SIZE_LIMIT + 1]
