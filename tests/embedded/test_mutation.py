"""The atomic operations against the byte loops that FoundationDB computes them by (fdbclient/Atomic.h)."""

from __future__ import annotations

import struct
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phasm_fdb.embedded import mutation
from phasm_fdb.embedded.mutation import apply_atomic

operands = st.binary(max_size=6)
stored = st.none() | st.binary(max_size=6)


def _add(old: bytes, operand: bytes) -> bytes:
    if not old:
        return operand
    result, carry = bytearray(), 0
    for index, byte in enumerate(operand):
        total = byte + carry + (old[index] if index < len(old) else 0)
        result.append(total & 0xFF)
        carry = total >> 8
    return bytes(result)


def _bytewise(combine: Callable[[int, int], int], rest: Callable[[int], int]) -> Callable[[bytes, bytes], bytes]:
    def operation(old: bytes, operand: bytes) -> bytes:
        return bytes(
            combine(old[index], byte) if index < len(old) else rest(byte) for index, byte in enumerate(operand)
        )

    return operation


@given(stored, operands)
def test_add(old: bytes | None, operand: bytes) -> None:
    assert apply_atomic(mutation.ADD, old, operand) == _add(old or b"", operand)


@given(stored, operands)
def test_the_bit_operations(old: bytes | None, operand: bytes) -> None:
    loops = {
        mutation.BIT_OR: _bytewise(lambda a, b: a | b, lambda b: b),
        mutation.BIT_XOR: _bytewise(lambda a, b: a ^ b, lambda b: b),
        mutation.BIT_AND: _bytewise(lambda a, b: a & b, lambda b: 0),
    }
    for code, loop in loops.items():
        expected = operand if old is None else loop(old, operand)
        assert apply_atomic(code, old, operand) == expected


@given(stored, operands)
def test_max_and_min_compare_little_endian_integers(old: bytes | None, operand: bytes) -> None:
    size = len(operand)
    number = int.from_bytes(operand, "little")
    kept = int.from_bytes((old or b"")[:size], "little")
    assert apply_atomic(mutation.MAX, old, operand) == max(kept, number).to_bytes(size, "little")
    smaller = number if old is None else min(kept, number)
    assert apply_atomic(mutation.MIN, old, operand) == smaller.to_bytes(size, "little")


@given(stored, operands)
def test_the_byte_operations(old: bytes | None, operand: bytes) -> None:
    assert apply_atomic(mutation.BYTE_MAX, old, operand) == max(old or b"", operand)
    assert apply_atomic(mutation.BYTE_MIN, old, operand) == (operand if old is None else min(old, operand))
    assert apply_atomic(mutation.COMPARE_AND_CLEAR, old, operand) == (None if old == operand else old)
    assert apply_atomic(mutation.APPEND_IF_FITS, old, operand) == (old or b"") + operand


def test_append_leaves_what_would_become_too_large() -> None:
    old = b"x" * 99_999
    assert apply_atomic(mutation.APPEND_IF_FITS, old, b"y") == old + b"y"
    assert apply_atomic(mutation.APPEND_IF_FITS, old, b"yy") == old


@pytest.mark.parametrize("offset", [0, 3, 5])
def test_a_stamp_takes_the_place_of_its_bytes(offset: int) -> None:
    parameter = b"abcde"[:offset] + b"\0" * 10 + b"abcde"[offset:] + struct.pack("<I", offset)
    stamp = mutation.versionstamp(258, 3)
    assert stamp == b"\0\0\0\0\0\0\1\2\0\3"
    assert mutation.put_stamp(parameter, stamp) == b"abcde"[:offset] + stamp + b"abcde"[offset:]


def test_stamped_mutations_become_sets() -> None:
    stamp = b"0123456789"
    parameter = b"v" + b"\0" * 10 + struct.pack("<I", 1)
    given_ = [
        (mutation.SET, b"a", b"1"),
        (mutation.SET_VERSIONSTAMPED_KEY, parameter, b"2"),
        (mutation.SET_VERSIONSTAMPED_VALUE, b"b", parameter),
    ]
    assert mutation.has_stamps(given_)
    assert not mutation.has_stamps(given_[:1])
    sets, keys = mutation.stamp_all(given_, stamp)
    assert sets == [(mutation.SET, b"a", b"1"), (mutation.SET, b"v" + stamp, b"2"), (mutation.SET, b"b", b"v" + stamp)]
    assert keys == [b"v" + stamp]
