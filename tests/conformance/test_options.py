"""The transaction options that change results or retries."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest

Key = Callable[[bytes], bytes]
Fails = Callable[[int], AbstractContextManager[None]]


def _value(found: Any) -> bytes | None:
    return None if found == None else bytes(found)  # noqa: E711 - the binding's Value is a future that equals None


def test_read_your_writes_disable_reads_the_database_only(database: Any, at: Key) -> None:
    database[at(b"k")] = b"old"
    tr = database.create_transaction()
    tr.options.set_read_your_writes_disable()
    tr.set(at(b"k"), b"mine")
    tr.set(at(b"l"), b"mine")
    assert _value(tr.get(at(b"k")).wait()) == b"old"
    assert [bytes(row.key) for row in tr.get_range(at(b"a"), at(b"z"))] == [at(b"k")]
    tr.commit().wait()
    assert _value(database[at(b"k")]) == b"mine"


def test_read_your_writes_disable_comes_before_reads_and_writes(database: Any, at: Key, fails: Fails) -> None:
    tr = database.create_transaction()
    tr.set(at(b"k"), b"v")
    with fails(2000):
        tr.options.set_read_your_writes_disable()
        tr.commit().wait()


@pytest.mark.parametrize(("conflict_first", "committed"), [(True, True), (False, False)])
def test_read_your_writes_disable_forgets_the_read_conflicts_before_it(
    database: Any, at: Key, fails: Fails, conflict_first: bool, committed: bool
) -> None:
    """As recorded on a cluster; nothing to rely on, but an engine that differs would hide it."""
    tr = database.create_transaction()
    tr.get_read_version().wait()
    if conflict_first:
        tr.add_read_conflict_range(at(b"a"), at(b"f"))
    tr.options.set_read_your_writes_disable()
    if not conflict_first:
        tr.add_read_conflict_range(at(b"a"), at(b"f"))
    tr.set(at(b"z"), b"")
    database[at(b"b")] = b"of another"
    with contextlib.nullcontext() if committed else fails(1020):
        tr.commit().wait()


def test_a_snapshot_read_sees_own_writes(database: Any, at: Key) -> None:
    tr = database.create_transaction()
    tr.set(at(b"k"), b"mine")
    assert _value(tr.snapshot.get(at(b"k")).wait()) == b"mine"
    assert [bytes(row.value) for row in tr.snapshot.get_range(at(b"a"), at(b"z"))] == [b"mine"]


def test_snapshot_ryw_disable_and_enable_are_counted(database: Any, at: Key) -> None:
    database[at(b"k")] = b"old"
    tr = database.create_transaction()
    tr.set(at(b"k"), b"mine")
    tr.options.set_snapshot_ryw_disable()
    assert _value(tr.snapshot.get(at(b"k")).wait()) == b"old"
    assert _value(tr.get(at(b"k")).wait()) == b"mine", "only snapshot reads change"
    tr.options.set_snapshot_ryw_enable()
    assert _value(tr.snapshot.get(at(b"k")).wait()) == b"mine"


def test_next_write_no_write_conflict_range_is_for_one_write(database: Any, at: Key, fails: Fails) -> None:
    readers = {}
    for name in (b"first", b"second"):
        tr = readers[name] = database.create_transaction()
        tr.get(at(name)).wait()
        tr.set(at(b"out"), name)
    writer = database.create_transaction()
    writer.options.set_next_write_no_write_conflict_range()
    writer.set(at(b"first"), b"")
    writer.set(at(b"second"), b"")
    writer.commit().wait()
    readers[b"first"].commit().wait()
    with fails(1020):
        readers[b"second"].commit().wait()


def test_the_write_of_a_transaction_without_conflicts_is_still_made(database: Any, at: Key) -> None:
    tr = database.create_transaction()
    tr.options.set_next_write_no_write_conflict_range()
    tr.set(at(b"k"), b"v")
    tr.commit().wait()
    assert _value(database[at(b"k")]) == b"v"


@pytest.mark.parametrize("retries", [0, 2])
def test_retry_limit_ends_the_retries(database: Any, at: Key, fails: Fails, retries: int) -> None:
    tr = database.create_transaction()
    tr.options.set_retry_limit(retries)
    for _ in range(retries):
        tr.on_error(1020).wait()
    with fails(1020):
        tr.on_error(1020).wait()
    with fails(1025):
        tr.get(at(b"k")).wait()


def test_reset_counts_the_retries_anew(database: Any, at: Key) -> None:
    tr = database.create_transaction()
    tr.options.set_retry_limit(1)
    tr.on_error(1020).wait()
    tr.reset()
    for _ in range(3):
        tr.on_error(1020).wait()
    assert not tr.get(at(b"k")).present()


def test_a_database_option_is_the_default_of_its_transactions(
    database: Any, at: Key, fails: Fails, request: pytest.FixtureRequest
) -> None:
    database.options.set_transaction_retry_limit(1)
    request.addfinalizer(lambda: database.options.set_transaction_retry_limit(-1))
    tr = database.create_transaction()
    tr.on_error(1020).wait()
    with fails(1020):
        tr.on_error(1020).wait()


def test_a_long_timeout_lets_a_transaction_through(database: Any, at: Key) -> None:
    tr = database.create_transaction()
    tr.options.set_timeout(60_000)
    tr.set(at(b"k"), b"v")
    tr.commit().wait()
    assert _value(database[at(b"k")]) == b"v"
