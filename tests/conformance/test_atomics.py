"""The atomic operations: what each makes of a value, an absent value, and an own write before it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

Key = Callable[[bytes], bytes]

#: (operation, value before or None, operand, value after or None)
TABLE: list[tuple[str, bytes | None, bytes, bytes | None]] = [
    ("add", None, b"\x05", b"\x05"),
    ("add", b"\x01\x00", b"\x02\x00", b"\x03\x00"),
    ("add", b"\xff\x00", b"\x01\x00", b"\x00\x01"),  # little-endian carry
    ("add", b"\xff", b"\x01", b"\x00"),  # overflow wraps
    ("add", b"\x01", b"\xff\xff", b"\x00\x00"),  # the result is as long as the operand
    ("add", b"\x01\x02\x03", b"\x01", b"\x02"),
    ("add", b"", b"\x05", b"\x05"),
    ("add", b"\x01\x02", b"", b""),
    ("bit_and", None, b"\x0f", b"\x0f"),  # API version 510 and later: absent takes the operand
    ("bit_and", b"\xfc\xff", b"\x0f", b"\x0c"),
    ("bit_and", b"\xff", b"\x0f\x0f", b"\x0f\x00"),
    ("bit_and", b"", b"\x0f", b"\x00"),
    ("bit_or", None, b"\x0f", b"\x0f"),
    ("bit_or", b"\xf0", b"\x0f", b"\xff"),
    ("bit_or", b"\xf0", b"\x0f\x01", b"\xff\x01"),
    ("bit_xor", None, b"\x0f", b"\x0f"),
    ("bit_xor", b"\xff", b"\x0f", b"\xf0"),
    ("bit_xor", b"\xff\xff", b"\x0f", b"\xf0"),
    ("append_if_fits", None, b"ab", b"ab"),
    ("append_if_fits", b"ab", b"cd", b"abcd"),
    ("append_if_fits", b"ab", b"", b"ab"),
    ("append_if_fits", b"v" * 99_999, b"x", b"v" * 99_999 + b"x"),
    ("append_if_fits", b"v" * 99_999, b"xy", b"v" * 99_999),
    ("max", None, b"\x05", b"\x05"),
    ("max", b"\x07", b"\x05", b"\x07"),
    ("max", b"\x01\x02", b"\x02\x01", b"\x01\x02"),  # little-endian: the last byte counts most
    ("max", b"\x07", b"\x05\x00", b"\x07\x00"),
    ("max", b"\x01\x09", b"\x05", b"\x05"),  # cut to the operand's length before it is compared
    ("min", None, b"\x05", b"\x05"),
    ("min", b"\x07", b"\x05", b"\x05"),
    ("min", b"\x01\x02", b"\x02\x01", b"\x02\x01"),
    ("min", b"", b"\x05", b"\x00"),  # an empty value counts as zeros; an absent one does not
    ("byte_max", None, b"b", b"b"),
    ("byte_max", b"abc", b"b", b"b"),
    ("byte_max", b"c", b"bcd", b"c"),
    ("byte_min", None, b"b", b"b"),
    ("byte_min", b"abc", b"b", b"abc"),
    ("byte_min", b"c", b"bcd", b"bcd"),
    ("compare_and_clear", b"same", b"same", None),
    ("compare_and_clear", b"same", b"other", b"same"),
    ("compare_and_clear", None, b"x", None),
    ("compare_and_clear", b"", b"", None),
]


def _ids(row: tuple[str, bytes | None, bytes, bytes | None]) -> str:
    name, before, operand, _ = row
    short = [repr(part) if part is None or len(part) < 9 else f"{len(part)} bytes" for part in (before, operand)]
    return f"{name} {short[0]} {short[1]}"


def _value(found: Any) -> bytes | None:
    return bytes(found) if found.present() else None


@pytest.mark.parametrize("row", TABLE, ids=_ids)
def test_on_a_stored_value(database: Any, at: Key, row: tuple[str, bytes | None, bytes, bytes | None]) -> None:
    name, before, operand, after = row
    if before is not None:
        database[at(b"k")] = before
    tr = database.create_transaction()
    getattr(tr, name)(at(b"k"), operand)
    assert _value(tr.get(at(b"k"))) == after, "as the transaction itself reads it"
    tr.commit().wait()
    assert _value(database.create_transaction().get(at(b"k"))) == after


@pytest.mark.parametrize("row", TABLE, ids=_ids)
def test_on_an_own_write(database: Any, at: Key, row: tuple[str, bytes | None, bytes, bytes | None]) -> None:
    name, before, operand, after = row
    database[at(b"k")] = b"what was there does not matter"
    tr = database.create_transaction()
    if before is None:
        tr.clear(at(b"k"))
    else:
        tr.set(at(b"k"), before)
    getattr(tr, name)(at(b"k"), operand)
    tr.commit().wait()
    assert _value(database.create_transaction().get(at(b"k"))) == after


def test_several_on_one_key_apply_in_order(database: Any, at: Key) -> None:
    database[at(b"k")] = b"\x01"
    tr = database.create_transaction()
    tr.add(at(b"k"), b"\x02")
    tr.bit_or(at(b"k"), b"\x10")
    tr.max(at(b"k"), b"\x11")
    tr.add(at(b"k"), b"\x01")
    tr.commit().wait()
    assert bytes(database[at(b"k")]) == b"\x14"


def test_a_set_after_an_atomic_wins(database: Any, at: Key) -> None:
    tr = database.create_transaction()
    tr.add(at(b"k"), b"\x02")
    tr.set(at(b"k"), b"set")
    tr.commit().wait()
    assert bytes(database[at(b"k")]) == b"set"


def test_a_cleared_range_counts_as_absent(database: Any, at: Key) -> None:
    database[at(b"k")] = b"\x07"
    tr = database.create_transaction()
    tr.clear_range(at(b"a"), at(b"z"))
    tr.add(at(b"k"), b"\x01")
    tr.commit().wait()
    assert bytes(database[at(b"k")]) == b"\x01"


def test_the_value_at_commit_counts_not_the_value_read(database: Any, at: Key) -> None:
    database[at(b"k")] = b"\x01"
    tr = database.create_transaction()
    assert bytes(tr.snapshot.get(at(b"k"))) == b"\x01"
    tr.add(at(b"k"), b"\x01")
    database[at(b"k")] = b"\x0a"
    tr.commit().wait()
    assert bytes(database[at(b"k")]) == b"\x0b"


def test_concurrent_adds_all_count(database: Any, at: Key) -> None:
    transactions = [database.create_transaction() for _ in range(10)]
    for tr in transactions:
        tr.get_read_version().wait()
        tr.add(at(b"k"), b"\x01\x00")
    for tr in transactions:
        tr.commit().wait()
    assert bytes(database[at(b"k")]) == b"\x0a\x00"


def test_a_range_read_merges_pending_atomics(database: Any, at: Key) -> None:
    database[at(b"a")] = b"\x01"
    tr = database.create_transaction()
    tr.add(at(b"a"), b"\x01")
    tr.add(at(b"b"), b"\x05")
    tr.compare_and_clear(at(b"a"), b"\x02")
    rows = [(bytes(row.key), bytes(row.value)) for row in tr.get_range(at(b"a"), at(b"z"))]
    assert rows == [(at(b"b"), b"\x05")]


def test_the_database_has_them_too(database: Any, at: Key) -> None:
    database.add(at(b"k"), b"\x01")
    database.add(at(b"k"), b"\x01")
    assert bytes(database[at(b"k")]) == b"\x02"
