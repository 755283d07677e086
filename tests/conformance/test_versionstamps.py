"""Versionstamps: ten bytes, put in at commit, in the order of the commits."""

from __future__ import annotations

import struct
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

Key = Callable[[bytes], bytes]
Fails = Callable[[int], AbstractContextManager[None]]

UNREADABLE = 1036
PLACEHOLDER = b"\xff" * 10


def stamped(before: bytes, after: bytes = b"") -> bytes:
    """A parameter with room for a versionstamp between two parts, and the offset of that room at its end."""
    return before + PLACEHOLDER + after + struct.pack("<I", len(before))


def test_a_stamped_key_holds_the_versionstamp(database: Any, at: Key) -> None:
    tr = database.create_transaction()
    tr.set_versionstamped_key(stamped(at(b"log/"), b"/tail"), b"value")
    stamp = tr.get_versionstamp()
    tr.commit().wait()
    rows = [(bytes(row.key), bytes(row.value)) for row in database.get_range_startswith(at(b"log/"))]
    assert rows == [(at(b"log/") + bytes(stamp.wait()) + b"/tail", b"value")]


def test_a_stamped_value_holds_the_versionstamp(database: Any, at: Key) -> None:
    tr = database.create_transaction()
    tr.set_versionstamped_value(at(b"k"), stamped(b"<", b">"))
    stamp = tr.get_versionstamp()
    tr.commit().wait()
    assert bytes(database[at(b"k")]) == b"<" + bytes(stamp.wait()) + b">"


def test_the_stamp_is_the_committed_version_and_a_batch_order(database: Any, at: Key) -> None:
    tr = database.create_transaction()
    tr.set(at(b"k"), b"v")
    stamp = tr.get_versionstamp()
    tr.commit().wait()
    version, _ = struct.unpack(">QH", bytes(stamp.wait()))
    assert version == tr.get_committed_version()


def test_stamps_are_in_commit_order(database: Any, at: Key) -> None:
    transactions = [database.create_transaction() for _ in range(20)]
    for tr in transactions:
        tr.get_read_version().wait()
    stamps = []
    for number, tr in enumerate(reversed(transactions)):
        tr.set_versionstamped_key(stamped(at(b"log/")), b"%d" % number)
        stamps.append(tr.get_versionstamp())
        tr.commit().wait()
    found = [bytes(stamp.wait()) for stamp in stamps]
    assert found == sorted(set(found))
    values = [bytes(row.value) for row in database.get_range_startswith(at(b"log/"))]
    assert values == [b"%d" % number for number in range(20)]


def test_one_transaction_has_one_stamp(database: Any, at: Key) -> None:
    tr = database.create_transaction()
    tr.set_versionstamped_key(stamped(at(b"a/")), b"")
    tr.set_versionstamped_key(stamped(at(b"b/")), b"")
    tr.set_versionstamped_value(at(b"c"), stamped(b""))
    tr.commit().wait()
    (a,) = database.get_range_startswith(at(b"a/"))
    (b,) = database.get_range_startswith(at(b"b/"))
    assert bytes(a.key)[-10:] == bytes(b.key)[-10:] == bytes(database[at(b"c")])


def test_a_transaction_cannot_read_what_it_stamped(database: Any, at: Key, fails: Fails) -> None:
    tr = database.create_transaction()
    tr.set_versionstamped_value(at(b"k"), stamped(b""))
    with fails(UNREADABLE):
        tr.get(at(b"k")).wait()
    with fails(UNREADABLE):
        tr.commit().wait()


def test_a_range_over_a_stamped_key_cannot_be_read(database: Any, at: Key, fails: Fails) -> None:
    database[at(b"a")] = b""
    tr = database.create_transaction()
    tr.set_versionstamped_key(stamped(at(b"log/")), b"")
    assert bytes(tr.get(at(b"a")).wait()) == b"", "what lies elsewhere is readable"
    with fails(UNREADABLE):
        list(tr.get_range(at(b""), at(b"\xff")))


def test_bypass_unreadable_reads_the_placeholder(database: Any, at: Key) -> None:
    tr = database.create_transaction()
    tr.options.set_bypass_unreadable()
    tr.set_versionstamped_value(at(b"k"), stamped(b"v"))
    assert bytes(tr.get(at(b"k")).wait()).startswith(b"v")
    tr.commit().wait()


def test_a_clear_makes_the_key_readable_again(database: Any, at: Key) -> None:
    tr = database.create_transaction()
    tr.set_versionstamped_value(at(b"k"), stamped(b""))
    tr.clear(at(b"k"))
    assert not tr.get(at(b"k")).present()
    tr.commit().wait()
    assert not database.create_transaction().get(at(b"k")).present()


def test_an_offset_outside_the_value_is_an_invalid_call(database: Any, at: Key, fails: Fails) -> None:
    tr = database.create_transaction()
    tr.set_versionstamped_value(at(b"k"), b"v" + PLACEHOLDER + struct.pack("<I", 9))
    with fails(2000):
        tr.commit().wait()


def test_a_stamped_key_conflicts_with_who_read_its_range(database: Any, at: Key, fails: Fails) -> None:
    reader = database.create_transaction()
    assert list(reader.get_range_startswith(at(b"log/"))) == []
    reader.set(at(b"out"), b"")
    writer = database.create_transaction()
    writer.set_versionstamped_key(stamped(at(b"log/")), b"")
    writer.commit().wait()
    with fails(1020):
        reader.commit().wait()


def test_appends_do_not_conflict_with_each_other(database: Any, at: Key) -> None:
    first, second = database.create_transaction(), database.create_transaction()
    for tr in (first, second):
        tr.get_read_version().wait()
        tr.set_versionstamped_key(stamped(at(b"log/")), b"")
    first.commit().wait()
    second.commit().wait()
    assert len(list(database.get_range_startswith(at(b"log/")))) == 2


def test_a_read_only_transaction_has_no_stamp(database: Any, at: Key, fails: Fails) -> None:
    tr = database.create_transaction()
    tr.get(at(b"k")).wait()
    stamp = tr.get_versionstamp()
    tr.commit().wait()
    assert tr.get_committed_version() == -1
    with fails(2021):
        stamp.wait()


def test_a_failed_commit_has_no_stamp(database: Any, at: Key, fails: Fails) -> None:
    tr = database.create_transaction()
    tr.get(at(b"k")).wait()
    tr.set(at(b"out"), b"")
    stamp = tr.get_versionstamp()
    database[at(b"k")] = b"new"
    with fails(1020):
        tr.commit().wait()
    with fails(2020):
        stamp.wait()
