"""Which transactions conflict (1020): those that read what another wrote after their read version."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest

Key = Callable[[bytes], bytes]
Fails = Callable[[int], AbstractContextManager[None]]
Call = Callable[[Any, Key], object]

NOT_COMMITTED = 1020


def reading(database: Any, at: Key) -> Any:
    """A transaction with its read version taken, and something to write."""
    tr = database.create_transaction()
    tr.get_read_version().wait()
    tr.set(at(b"out"), b"")
    return tr


@pytest.fixture
def rows(database: Any, at: Key) -> None:
    tr = database.create_transaction()
    for name in (b"b", b"d", b"f"):
        tr.set(at(name), name)
    tr.commit().wait()


CONFLICTING: dict[str, tuple[Call, Call]] = {
    "get, set": (lambda tr, at: tr.get(at(b"b")).wait(), lambda tr, at: tr.set(at(b"b"), b"new")),
    "get, same value": (lambda tr, at: tr.get(at(b"b")).wait(), lambda tr, at: tr.set(at(b"b"), b"b")),
    "get a missing key, set": (lambda tr, at: tr.get(at(b"c")).wait(), lambda tr, at: tr.set(at(b"c"), b"")),
    "get, clear": (lambda tr, at: tr.get(at(b"b")).wait(), lambda tr, at: tr.clear(at(b"b"))),
    "get a missing key, clear it": (
        lambda tr, at: tr.get(at(b"c")).wait(),
        lambda tr, at: tr.clear(at(b"c")),
    ),
    "get, clear around": (
        lambda tr, at: tr.get(at(b"b")).wait(),
        lambda tr, at: tr.clear_range(at(b"a"), at(b"c")),
    ),
    "get, add": (lambda tr, at: tr.get(at(b"b")).wait(), lambda tr, at: tr.add(at(b"b"), b"\x01")),
    "range, set inside": (
        lambda tr, at: list(tr.get_range(at(b"a"), at(b"e"))),
        lambda tr, at: tr.set(at(b"c"), b""),
    ),
    "range, clear inside": (
        lambda tr, at: list(tr.get_range(at(b"a"), at(b"e"))),
        lambda tr, at: tr.clear(at(b"d")),
    ),
    "empty range, set inside": (
        lambda tr, at: list(tr.get_range(at(b"x"), at(b"y"))),
        lambda tr, at: tr.set(at(b"x1"), b""),
    ),
    "limited range, set before its last row": (
        lambda tr, at: list(tr.get_range(at(b"a"), at(b"z"), limit=2)),
        lambda tr, at: tr.set(at(b"c"), b""),
    ),
    "reverse limited range, set after its last row": (
        lambda tr, at: list(tr.get_range(at(b"a"), at(b"e"), limit=1, reverse=True)),
        lambda tr, at: tr.set(at(b"d1"), b""),
    ),
    "conflict key, set": (
        lambda tr, at: tr.add_read_conflict_key(at(b"k")),
        lambda tr, at: tr.set(at(b"k"), b""),
    ),
    "conflict range, set": (
        lambda tr, at: tr.add_read_conflict_range(at(b"k"), at(b"m")),
        lambda tr, at: tr.set(at(b"l"), b""),
    ),
    "get, write conflict key": (
        lambda tr, at: tr.get(at(b"b")).wait(),
        lambda tr, at: tr.add_write_conflict_key(at(b"b")),
    ),
    "get, write conflict range": (
        lambda tr, at: tr.get(at(b"b")).wait(),
        lambda tr, at: tr.add_write_conflict_range(at(b"a"), at(b"c")),
    ),
    "own clear then get, set": (
        lambda tr, at: (tr.get(at(b"b")).wait(), tr.clear(at(b"b")), tr.get(at(b"b")).wait()),
        lambda tr, at: tr.set(at(b"b"), b""),
    ),
    "get of an own atomic operation, set": (
        lambda tr, at: (tr.add(at(b"b"), b"\x01"), tr.get(at(b"b")).wait()),
        lambda tr, at: tr.set(at(b"b"), b""),
    ),
}

PASSING: dict[str, tuple[Call, Call]] = {
    "no read, set": (lambda tr, at: tr.set(at(b"b"), b"mine"), lambda tr, at: tr.set(at(b"b"), b"new")),
    "add and add": (lambda tr, at: tr.add(at(b"b"), b"\x01"), lambda tr, at: tr.add(at(b"b"), b"\x01")),
    "get, set of another key": (lambda tr, at: tr.get(at(b"b")).wait(), lambda tr, at: tr.set(at(b"c"), b"")),
    "get, set of the next key": (
        lambda tr, at: tr.get(at(b"b")).wait(),
        lambda tr, at: tr.set(at(b"b\x00"), b""),
    ),
    "get, clear up to it": (
        lambda tr, at: tr.get(at(b"b")).wait(),
        lambda tr, at: tr.clear_range(at(b"a"), at(b"b")),
    ),
    "range, set at its end": (
        lambda tr, at: list(tr.get_range(at(b"a"), at(b"d"))),
        lambda tr, at: tr.set(at(b"d"), b""),
    ),
    "limited range, set past its last row": (
        lambda tr, at: list(tr.get_range(at(b"a"), at(b"z"), limit=2)),
        lambda tr, at: tr.set(at(b"e"), b""),
    ),
    "reverse limited range, set before its last row": (
        lambda tr, at: list(tr.get_range(at(b"a"), at(b"e"), limit=1, reverse=True)),
        lambda tr, at: tr.set(at(b"c"), b""),
    ),
    "snapshot get, set": (
        lambda tr, at: tr.snapshot.get(at(b"b")).wait(),
        lambda tr, at: tr.set(at(b"b"), b""),
    ),
    "snapshot range, set": (
        lambda tr, at: list(tr.snapshot.get_range(at(b"a"), at(b"z"))),
        lambda tr, at: tr.set(at(b"b"), b""),
    ),
    "get of an own set, set": (
        lambda tr, at: (tr.set(at(b"b"), b"mine"), tr.get(at(b"b")).wait()),
        lambda tr, at: tr.set(at(b"b"), b"new"),
    ),
    "get of an own clear, set": (
        lambda tr, at: (tr.clear_range(at(b"a"), at(b"c")), tr.get(at(b"b")).wait()),
        lambda tr, at: tr.set(at(b"b"), b"new"),
    ),
    "get, a write that adds no conflict": (
        lambda tr, at: tr.get(at(b"b")).wait(),
        lambda tr, at: (tr.options.set_next_write_no_write_conflict_range(), tr.set(at(b"b"), b"")),
    ),
}


def interleave(database: Any, at: Key, mine: Call, theirs: Call) -> Any:
    """My transaction reads, theirs commits; mine is returned, ready to commit."""
    tr = reading(database, at)
    mine(tr, at)
    other = database.create_transaction()
    theirs(other, at)
    other.commit().wait()
    return tr


@pytest.mark.usefixtures("rows")
@pytest.mark.parametrize("name", CONFLICTING)
def test_conflicts(database: Any, at: Key, fails: Fails, name: str) -> None:
    tr = interleave(database, at, *CONFLICTING[name])
    with fails(NOT_COMMITTED):
        tr.commit().wait()
    assert not database.create_transaction().get(at(b"out")).present()


@pytest.mark.usefixtures("rows")
@pytest.mark.parametrize("name", PASSING)
def test_does_not_conflict(database: Any, at: Key, name: str) -> None:
    tr = interleave(database, at, *PASSING[name])
    tr.commit().wait()
    assert database.create_transaction().get(at(b"out")).present()


@pytest.mark.usefixtures("rows")
def test_a_read_only_transaction_always_commits(database: Any, at: Key) -> None:
    tr = database.create_transaction()
    assert bytes(tr.get(at(b"b")).wait()) == b"b"
    database[at(b"b")] = b"new"
    tr.commit().wait()


@pytest.mark.usefixtures("rows")
def test_a_read_only_transaction_with_a_write_conflict_is_checked(database: Any, at: Key, fails: Fails) -> None:
    tr = database.create_transaction()
    tr.get(at(b"b")).wait()
    tr.add_write_conflict_key(at(b"k"))
    database[at(b"b")] = b"new"
    with fails(NOT_COMMITTED):
        tr.commit().wait()


@pytest.mark.usefixtures("rows")
def test_reads_stay_at_the_read_version(database: Any, at: Key) -> None:
    tr = database.create_transaction()
    tr.get_read_version().wait()
    with_writes = database.create_transaction()
    with_writes.set(at(b"b"), b"new")
    with_writes.set(at(b"c"), b"new")
    with_writes.clear(at(b"d"))
    with_writes.commit().wait()
    assert bytes(tr.get(at(b"b")).wait()) == b"b"
    assert not tr.get(at(b"c")).present()
    assert [bytes(row.key) for row in tr.get_range(at(b"a"), at(b"z"))] == [at(b"b"), at(b"d"), at(b"f")]


@pytest.mark.usefixtures("rows")
def test_an_older_read_version_can_be_asked_for(database: Any, at: Key) -> None:
    reader = database.create_transaction()  # kept: what a dropped transaction was asked for is cancelled
    version = reader.get_read_version().wait()
    database[at(b"b")] = b"new"
    del database[at(b"d")]
    old = database.create_transaction()
    old.set_read_version(version)
    assert bytes(old.get(at(b"b")).wait()) == b"b"
    assert bytes(old.get(at(b"d")).wait()) == b"d"
    assert [bytes(row.value) for row in old.get_range(at(b"a"), at(b"z"))] == [b"b", b"d", b"f"]
    assert [bytes(row.value) for row in old.get_range(at(b"a"), at(b"z"), limit=2, reverse=True)] == [
        b"f",
        b"d",
    ]


@pytest.mark.usefixtures("rows")
def test_a_commit_at_an_older_read_version_is_checked_from_there(database: Any, at: Key, fails: Fails) -> None:
    reader = database.create_transaction()  # kept: what a dropped transaction was asked for is cancelled
    version = reader.get_read_version().wait()
    database[at(b"b")] = b"new"
    old = database.create_transaction()
    old.set_read_version(version)
    old.get(at(b"b")).wait()
    old.set(at(b"out"), b"")
    with fails(NOT_COMMITTED):
        old.commit().wait()


def test_a_commit_is_seen_by_every_later_read_version(database: Any, at: Key) -> None:
    for number in range(20):
        tr = database.create_transaction()
        tr.set(at(b"k"), b"%d" % number)
        tr.commit().wait()
        later = database.create_transaction()
        assert later.get_read_version().wait() >= tr.get_committed_version()
        assert bytes(later.get(at(b"k")).wait()) == b"%d" % number


def test_write_skew_is_prevented(database: Any, at: Key, fails: Fails) -> None:
    """Each reads what the other writes: one of the two must fail, or the history is not serial."""
    first, second = database.create_transaction(), database.create_transaction()
    assert not first.get(at(b"x")).present()
    assert not second.get(at(b"y")).present()
    first.set(at(b"y"), b"1")
    second.set(at(b"x"), b"2")
    first.commit().wait()
    with fails(NOT_COMMITTED):
        second.commit().wait()


def test_the_retry_loop_commits_in_the_end(engine: Any, database: Any, at: Key) -> None:
    database[at(b"n")] = b"0"
    tr = database.create_transaction()
    attempts = 0
    while True:
        try:
            value = int(bytes(tr.get(at(b"n")).wait()))
            if attempts == 0:
                database[at(b"n")] = b"10"
            attempts += 1
            tr.set(at(b"n"), b"%d" % (value + 1))
            tr.commit().wait()
            break
        except engine.FDBError as error:
            tr.on_error(error.code).wait()
    assert attempts == 2
    assert bytes(database[at(b"n")]) == b"11"
