"""Mutations, as every store applies them: the atomic operations and the versionstamps put in at commit time.

The codes are FoundationDB's own (`fdb.options` MutationType), with `SET` and `CLEAR_RANGE` as its commit
protocol has them (fdbclient/CommitTransaction.h), so a mutation can be read off a trace of either.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from operator import itemgetter

Mutation = tuple[int, bytes, bytes]
"""(code, key, parameter). `CLEAR_RANGE` has (code, begin, end); `CLEAR` is one key, its parameter is empty.
"""

SET = 0
CLEAR_RANGE = 1
ADD = 2
BIT_AND = 6
BIT_OR = 7
BIT_XOR = 8
APPEND_IF_FITS = 9
MAX = 12
MIN = 13
SET_VERSIONSTAMPED_KEY = 14
SET_VERSIONSTAMPED_VALUE = 15
BYTE_MIN = 16
BYTE_MAX = 17
COMPARE_AND_CLEAR = 20
CLEAR = 256
"""Clears one key. FoundationDB sends a range of one key; a store does better when it need not look for a
range.
"""

VALUE_SIZE_LIMIT = 100_000
"""The most bytes of a value (FoundationDB's knob VALUE_SIZE_LIMIT)."""

STAMP_LENGTH = 10
OFFSET_LENGTH = 4

_STAMPED = frozenset((SET_VERSIONSTAMPED_KEY, SET_VERSIONSTAMPED_VALUE))
_STAMP = struct.Struct(">QH")
_OFFSET = struct.Struct("<I")


def versionstamp(version: int, batch_order: int) -> bytes:
    """The ten bytes of a commit: its version, then its order among the commits of that version."""
    return _STAMP.pack(version, batch_order)


def stamp_offset(parameter: bytes) -> int:
    """Where the versionstamp goes, as the last four bytes say (API version 520 and later)."""
    offset: int = _OFFSET.unpack_from(parameter, len(parameter) - OFFSET_LENGTH)[0]
    return offset


def put_stamp(parameter: bytes, stamp: bytes) -> bytes:
    """`parameter` without its four offset bytes, and with `stamp` at that offset."""
    offset = stamp_offset(parameter)
    return parameter[:offset] + stamp + parameter[offset + STAMP_LENGTH : -OFFSET_LENGTH]


def has_stamps(mutations: Iterable[Mutation]) -> bool:
    """Whether `stamp_all` has anything to do, so that a store can skip it."""
    return not _STAMPED.isdisjoint(map(itemgetter(0), mutations))


def stamp_all(mutations: Iterable[Mutation], stamp: bytes) -> tuple[list[Mutation], list[bytes]]:
    """The mutations with `stamp` put in, so that they are plain sets, and the keys that got a stamp.

    Those keys are write conflicts of the commit: nobody could know them before (FoundationDB's commit proxy
    adds them too, ResolutionRequestBuilder in fdbserver/CommitProxyServer).
    """
    resolved = list(mutations)
    keys: list[bytes] = []
    for place, (code, key, parameter) in enumerate(resolved):
        if code == SET_VERSIONSTAMPED_KEY:
            key = put_stamp(key, stamp)
            keys.append(key)
            resolved[place] = (SET, key, parameter)
        elif code == SET_VERSIONSTAMPED_VALUE:
            resolved[place] = (SET, key, put_stamp(parameter, stamp))
    return resolved, keys


def apply_atomic(code: int, old: bytes | None, operand: bytes) -> bytes | None:
    """The value that an atomic operation leaves where `old` was; None where there is none.

    Args:
        code: one of the codes that `ATOMIC` has.
        old: the value so far, None where the key is absent.
        operand: the operation's parameter.
    """
    return ATOMIC[code](old, operand)


# The rules below are those of fdbclient/Atomic.h at API version 510 and later. In most of them an absent
# value and an empty one are the same, and the result is as long as the operand.


def _add(old: bytes | None, operand: bytes) -> bytes:
    size = len(operand)
    if not old or not size:
        return operand
    total = int.from_bytes(old[:size], "little") + int.from_bytes(operand, "little")
    return (total & ((1 << (8 * size)) - 1)).to_bytes(size, "little")


def _bit_and(old: bytes | None, operand: bytes) -> bytes:
    if old is None:
        return operand
    size = len(operand)
    return (int.from_bytes(old[:size], "little") & int.from_bytes(operand, "little")).to_bytes(size, "little")


def _bit_or(old: bytes | None, operand: bytes) -> bytes:
    size = len(operand)
    if not old or not size:
        return operand
    return (int.from_bytes(old[:size], "little") | int.from_bytes(operand, "little")).to_bytes(size, "little")


def _bit_xor(old: bytes | None, operand: bytes) -> bytes:
    size = len(operand)
    if not old or not size:
        return operand
    return (int.from_bytes(old[:size], "little") ^ int.from_bytes(operand, "little")).to_bytes(size, "little")


def _append_if_fits(old: bytes | None, operand: bytes) -> bytes:
    if not old:
        return operand
    return old + operand if len(old) + len(operand) <= VALUE_SIZE_LIMIT else old


def _max(old: bytes | None, operand: bytes) -> bytes:
    size = len(operand)
    if not old or not size:
        return operand
    kept = old[:size].ljust(size, b"\0")
    return kept if kept[::-1] > operand[::-1] else operand


def _min(old: bytes | None, operand: bytes) -> bytes:
    if old is None:
        return operand
    size = len(operand)
    kept = old[:size].ljust(size, b"\0")
    return kept if kept[::-1] < operand[::-1] else operand


def _byte_max(old: bytes | None, operand: bytes) -> bytes:
    return operand if old is None else max(old, operand)


def _byte_min(old: bytes | None, operand: bytes) -> bytes:
    return operand if old is None else min(old, operand)


def _compare_and_clear(old: bytes | None, operand: bytes) -> bytes | None:
    return None if old == operand else old


ATOMIC: dict[int, Callable[[bytes | None, bytes], bytes | None]] = {
    ADD: _add,
    BIT_AND: _bit_and,
    BIT_OR: _bit_or,
    BIT_XOR: _bit_xor,
    APPEND_IF_FITS: _append_if_fits,
    MAX: _max,
    MIN: _min,
    BYTE_MAX: _byte_max,
    BYTE_MIN: _byte_min,
    COMPARE_AND_CLEAR: _compare_and_clear,
}
