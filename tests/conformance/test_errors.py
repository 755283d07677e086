"""When errors surface, what `on_error` makes of them, and how a transaction may be used afterwards."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest

Key = Callable[[bytes], bytes]
Fails = Callable[[int], AbstractContextManager[None]]

CANCELLED, USED = 1025, 2017
RETRIED = [1007, 1009, 1020, 1021, 1037, 1038, 1042, 1051, 1078, 1079, 1213, 1223]
RAISED = [1000, 1025, 1031, 1036, 1039, 1101, 2000, 2004, 2017, 2101]


@pytest.mark.parametrize("code", RETRIED)
def test_on_error_makes_a_retryable_transaction_new(database: Any, at: Key, code: int) -> None:
    tr = database.create_transaction()
    tr.set(at(b"k"), b"first try")
    tr.on_error(code).wait()
    assert not tr.get(at(b"k")).present()
    tr.set(at(b"other"), b"")
    tr.commit().wait()
    assert not database.create_transaction().get(at(b"k")).present()


@pytest.mark.parametrize("code", RAISED)
def test_on_error_raises_what_no_retry_helps(database: Any, at: Key, fails: Fails, code: int) -> None:
    tr = database.create_transaction()
    tr.set(at(b"k"), b"v")
    with fails(code):
        tr.on_error(code).wait()
    with fails(CANCELLED):
        tr.get(at(b"k")).wait()


def test_on_error_makes_a_broken_promise_a_cancellation(database: Any, fails: Fails) -> None:
    with fails(CANCELLED):
        database.create_transaction().on_error(1100).wait()


def test_an_error_is_shown_with_its_code(engine: Any) -> None:
    assert repr(engine.FDBError(1020)) == "FDBError(1020)"


def test_on_error_takes_the_exception_too(engine: Any, database: Any, at: Key) -> None:
    tr = database.create_transaction()
    tr.on_error(engine.FDBError(1020)).wait()
    assert not tr.get(at(b"k")).present()


def test_after_a_commit_a_transaction_is_used(database: Any, at: Key, fails: Fails) -> None:
    tr = database.create_transaction()
    tr.set(at(b"k"), b"v")
    tr.commit().wait()
    with fails(USED):
        tr.get(at(b"k")).wait()
    with fails(USED):
        tr.commit().wait()
    tr.reset()
    assert bytes(tr.get(at(b"k")).wait()) == b"v"


def test_after_a_read_only_commit_too(database: Any, at: Key, fails: Fails) -> None:
    tr = database.create_transaction()
    tr.get(at(b"k")).wait()
    tr.commit().wait()
    with fails(USED):
        tr.get(at(b"k")).wait()


def test_a_cancelled_transaction_is_dead_until_reset(database: Any, at: Key, fails: Fails) -> None:
    tr = database.create_transaction()
    tr.set(at(b"k"), b"v")
    tr.cancel()
    with fails(CANCELLED):
        tr.get(at(b"k")).wait()
    with fails(CANCELLED):
        tr.commit().wait()
    tr.reset()
    assert not tr.get(at(b"k")).present()
    tr.set(at(b"k"), b"again")
    tr.commit().wait()
    assert bytes(database[at(b"k")]) == b"again"


def test_reset_forgets_the_writes_and_the_read_version(database: Any, at: Key) -> None:
    tr = database.create_transaction()
    assert not tr.get(at(b"k")).present()
    tr.set(at(b"gone"), b"v")
    database[at(b"k")] = b"new"
    tr.reset()
    assert bytes(tr.get(at(b"k")).wait()) == b"new"
    assert not tr.get(at(b"gone")).present()


def test_a_kept_error_is_raised_by_reads_and_by_the_commit(engine: Any, database: Any, at: Key, fails: Fails) -> None:
    tr = database.create_transaction()
    tr.set(b"\xff/x", b"v")
    for _ in range(2):
        with fails(2004):
            tr.get(at(b"k")).wait()
    with fails(2004):
        tr.get_key(engine.KeySelector.first_greater_or_equal(at(b"k"))).wait()
    with fails(2004):
        tr.commit().wait()


def test_the_first_kept_error_stays(database: Any, at: Key, fails: Fails) -> None:
    tr = database.create_transaction()
    tr.set(at(b"k"), b"v" * 100_001)
    tr.set(b"\xff/x", b"v")
    with fails(2103):
        tr.commit().wait()


def test_an_error_that_is_raised_at_once_is_not_kept(database: Any, at: Key, fails: Fails) -> None:
    tr = database.create_transaction()
    with fails(2005):
        tr.add_read_conflict_range(at(b"b"), at(b"a"))
    tr.set(at(b"k"), b"v")
    tr.commit().wait()
    assert bytes(database[at(b"k")]) == b"v"


def test_exact_streaming_needs_a_limit(database: Any, at: Key, fails: Fails) -> None:
    exact = 0
    with fails(2210):
        list(database.create_transaction().get_range(at(b"a"), at(b"b"), streaming_mode=exact))


def test_an_ancient_read_version_is_too_old(database: Any, at: Key, fails: Fails) -> None:
    tr = database.create_transaction()
    tr.set_read_version(1)
    with fails(1007):
        tr.get(at(b"k")).wait()
    tr.on_error(1007).wait()
    assert not tr.get(at(b"k")).present()


def test_a_blind_write_has_no_read_version_to_be_too_old(database: Any, at: Key) -> None:
    tr = database.create_transaction()
    tr.set(at(b"k"), b"v")
    tr.commit().wait()
    assert tr.get_committed_version() > 0


def test_a_failed_commit_has_no_version(database: Any, at: Key, fails: Fails) -> None:
    tr = database.create_transaction()
    tr.get(at(b"k")).wait()
    tr.set(at(b"out"), b"")
    database[at(b"k")] = b"new"
    with fails(1020):
        tr.commit().wait()
    tr.on_error(1020).wait()
    assert tr.get_committed_version() == -1


def test_versions_only_grow(database: Any, at: Key) -> None:
    versions = []
    for number in range(10):
        tr = database.create_transaction()
        versions.append(tr.get_read_version().wait())
        tr.set(at(b"k"), b"%d" % number)
        tr.commit().wait()
        versions.append(tr.get_committed_version())
    assert versions == sorted(versions)
    assert len(set(versions[1::2])) == 10
