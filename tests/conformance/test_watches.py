"""Watches: told once, after a commit changed the value that the watching transaction left or saw."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest

Key = Callable[[bytes], bytes]
Fails = Callable[[int], AbstractContextManager[None]]

#: Only a failing test waits so long.
SECONDS = 10.0

CANCELLED = 1025


def watch(database: Any, key: bytes) -> Any:
    """A watch of `key` by a transaction that has committed."""
    tr = database.create_transaction()
    future = tr.watch(key)
    tr.commit().wait()
    return future


def wait(future: Any) -> None:
    """Wait for a watch, or fail the test."""
    ready = threading.Event()
    future.on_ready(lambda _: ready.set())
    assert ready.wait(SECONDS), "the watch did not fire"
    future.wait()


CHANGES: dict[str, Callable[[Any, bytes], None]] = {
    "set": lambda tr, key: tr.set(key, b"new"),
    "clear": lambda tr, key: tr.clear(key),
    "clear_range": lambda tr, key: tr.clear_range(key, key + b"\xff"),
    "add": lambda tr, key: tr.add(key, b"\x01"),
    "compare_and_clear": lambda tr, key: tr.compare_and_clear(key, b"old"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_fires(database: Any, at: Key, name: str) -> None:
    database[at(b"k")] = b"old"
    future = watch(database, at(b"k"))
    assert not future.is_ready()
    tr = database.create_transaction()
    CHANGES[name](tr, at(b"k"))
    tr.commit().wait()
    wait(future)


def test_a_key_that_appears_fires(database: Any, at: Key) -> None:
    future = watch(database, at(b"k"))
    database[at(b"k")] = b""
    wait(future)


def test_the_same_value_and_other_keys_do_not_fire(database: Any, at: Key) -> None:
    database[at(b"k")] = b"old"
    future = watch(database, at(b"k"))
    database[at(b"k")] = b"old"
    database[at(b"k\x00")] = b"new"
    database[at(b"j")] = b"new"
    assert not future.is_ready()
    database[at(b"k")] = b"new"
    wait(future)


def test_a_change_before_the_commit_of_the_watch_fires(database: Any, at: Key) -> None:
    database[at(b"k")] = b"old"
    tr = database.create_transaction()
    tr.get_read_version().wait()
    future = tr.watch(at(b"k"))
    database[at(b"k")] = b"new"
    tr.commit().wait()
    wait(future)


def test_the_own_write_before_the_watch_is_what_it_compares_with(database: Any, at: Key) -> None:
    database[at(b"k")] = b"old"
    tr = database.create_transaction()
    tr.set(at(b"k"), b"mine")
    future = tr.watch(at(b"k"))
    tr.commit().wait()
    assert not future.is_ready()
    database[at(b"k")] = b"new"
    wait(future)


def test_the_own_write_after_the_watch_fires_it(database: Any, at: Key) -> None:
    database[at(b"k")] = b"old"
    tr = database.create_transaction()
    future = tr.watch(at(b"k"))
    tr.set(at(b"k"), b"mine")
    tr.commit().wait()
    wait(future)


def test_several_watches_of_one_key_all_fire(database: Any, at: Key) -> None:
    futures = [watch(database, at(b"k")) for _ in range(5)]
    database[at(b"k")] = b"new"
    for future in futures:
        wait(future)


@pytest.mark.parametrize("end", ["reset", "cancel"])
def test_a_transaction_that_does_not_commit_cancels_its_watches(database: Any, at: Key, fails: Fails, end: str) -> None:
    tr = database.create_transaction()
    future = tr.watch(at(b"k"))
    getattr(tr, end)()
    with fails(CANCELLED):
        future.wait()


def test_a_watch_outlives_its_transaction(database: Any, at: Key) -> None:
    tr = database.create_transaction()
    future = tr.watch(at(b"k"))
    tr.commit().wait()
    tr.reset()
    del tr
    database[at(b"k")] = b"new"
    wait(future)


def test_a_watch_reads_its_key(database: Any, at: Key, fails: Fails) -> None:
    """So it conflicts like a read, and a failed commit fails the watch too."""
    tr = database.create_transaction()
    tr.get_read_version().wait()
    future = tr.watch(at(b"k"))
    tr.set(at(b"out"), b"")
    database[at(b"k")] = b"new"
    with fails(1020):
        tr.commit().wait()
    with fails(1020):
        future.wait()


def test_a_commit_with_only_a_watch_has_no_version(database: Any, at: Key) -> None:
    tr = database.create_transaction()
    future = tr.watch(at(b"k"))
    tr.commit().wait()
    assert tr.get_committed_version() == -1
    future.cancel()


def test_without_read_your_writes_there_are_no_watches(database: Any, at: Key, fails: Fails) -> None:
    tr = database.create_transaction()
    tr.options.set_read_your_writes_disable()
    with fails(1034):
        tr.watch(at(b"k")).wait()


def test_the_database_can_get_and_watch(database: Any, at: Key) -> None:
    database[at(b"k")] = b"old"
    value, future = database.get_and_watch(at(b"k"))
    assert bytes(value) == b"old"
    database[at(b"k")] = b"new"
    wait(future)


def test_the_database_can_set_and_watch_and_clear_and_watch(database: Any, at: Key) -> None:
    future = database.set_and_watch(at(b"k"), b"set")
    assert bytes(database[at(b"k")]) == b"set"
    cleared = database.clear_and_watch(at(b"k"))
    wait(future)
    database[at(b"k")] = b"new"
    wait(cleared)
