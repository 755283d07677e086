"""The transaction where the conformance suite does not reach: commits on their way, watches, time, and the options."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path
from typing import Any

import pytest

import phasm_fdb
from phasm_fdb.embedded import Database, KeySelector
from phasm_fdb.embedded.memory_store import MemoryStore
from phasm_fdb.embedded.selector import METADATA_VERSION
from phasm_fdb.embedded.store import CommitDone, CommitRequest
from phasm_fdb.errors import DatabaseError, FDBError
from tests.embedded.virtual_time import VirtualTime, code_of


class QueueStore(MemoryStore):
    """A memory store that commits only when it is told to, or when somebody blocks for it."""

    def __init__(self, time: VirtualTime) -> None:
        super().__init__(time.clock)
        self.queue: list[tuple[CommitRequest, CommitDone]] = []

    def commit(self, request: CommitRequest, done: CommitDone, /) -> None:
        self.queue.append((request, done))

    def help_commit(self) -> None:
        while self.queue:
            super().commit(*self.queue.pop(0))


@pytest.fixture
def store(time: VirtualTime) -> QueueStore:
    return QueueStore(time)


@pytest.fixture
def queued(store: QueueStore, time: VirtualTime) -> Database:
    return Database(store, clock=time.clock, sleep=time.sleep, call_later=time.call_later)


# --------------------------------------------------------------------------------------------- a commit on its way


def test_a_commit_is_ready_when_the_store_says_so(queued: Database, store: QueueStore) -> None:
    tr = queued.create_transaction()
    tr.set(b"k", b"v")
    stamp, commit = tr.get_versionstamp(), tr.commit()
    told: list[object] = []
    commit.on_ready(told.append)
    assert not commit.is_ready()
    assert tr.get_committed_version() == -1
    store.help_commit()
    assert told == [commit]
    assert bytes(stamp)[:8] == tr.get_committed_version().to_bytes(8, "big")


def test_who_blocks_for_a_commit_helps(queued: Database) -> None:
    tr = queued.create_transaction()
    tr.set(b"k", b"v")
    tr.commit().wait()
    assert queued[b"k"] == b"v"


def test_a_read_during_a_commit_spoils_both(queued: Database, store: QueueStore) -> None:
    tr = queued.create_transaction()
    tr.set(b"k", b"v")
    commit = tr.commit()
    assert code_of(tr.get(b"k").wait) == 2017
    assert code_of(commit.wait) == 2017
    store.help_commit()
    assert queued[b"k"] == b"v", "what was sent is committed all the same"


def test_a_write_during_a_commit_spoils_it(queued: Database, store: QueueStore) -> None:
    tr = queued.create_transaction()
    tr.set(b"k", b"v")
    commit = tr.commit()
    tr.set(b"k", b"w")
    assert code_of(commit.wait) == 2017
    assert code_of(tr.commit().wait) == 2017
    tr.reset()
    assert code_of(tr.get(b"k").wait) == 0


def test_a_reset_during_a_commit_cancels_its_future(queued: Database, store: QueueStore) -> None:
    tr = queued.create_transaction()
    tr.set(b"k", b"v")
    commit = tr.commit()
    tr.reset()
    assert code_of(commit.wait) == 1025
    store.help_commit()


def test_a_timeout_during_a_commit(queued: Database, store: QueueStore, time: VirtualTime) -> None:
    tr = queued.create_transaction()
    tr.options.set_timeout(100)
    tr.set(b"k", b"v")
    commit = tr.commit()
    time.advance(0.2)
    assert commit.is_ready()
    assert code_of(commit.wait) == 1031
    store.help_commit()


def test_a_versionstamp_times_out(db: Database, time: VirtualTime) -> None:
    tr = db.create_transaction()
    tr.options.set_timeout(100)
    stamp = tr.get_versionstamp()
    time.advance(0.2)
    assert code_of(stamp.wait) == 1031


def test_a_conflict_fails_the_watches_with_it(queued: Database) -> None:
    tr = queued.create_transaction()
    tr.get(b"read").wait()
    watch, stamp = tr.watch(b"watched"), tr.get_versionstamp()
    tr.set(b"k", b"v")
    queued[b"read"] = b"changed"
    assert code_of(tr.commit().wait) == 1020
    assert code_of(watch.wait) == 1020
    assert code_of(stamp.wait) == 2020, "as fdbclient has it: the transaction has no commit version"


# ------------------------------------------------------------------------------------------------------- lifecycle


def test_a_transaction_can_be_referred_to_weakly_and_is_freed_at_once(db: Database) -> None:
    tr = db.create_transaction()
    tr.get(b"k").wait()
    tr.set(b"k", b"v")
    reader, options = tr.snapshot, tr.options
    tr.commit().wait()
    weak = weakref.ref(tr)
    gc.disable()
    try:
        del tr, reader, options
        assert weak() is None, "no reference cycles: a dropped transaction must cancel its futures now"
    finally:
        gc.enable()


def test_a_transaction_knows_its_database(db: Database) -> None:
    tr = db.create_transaction()
    assert tr.db is db
    assert tr.snapshot.db is db


def test_the_first_deferred_error_is_the_one(db: Database) -> None:
    tr = db.create_transaction()
    tr.set(b"k" * 10_001, b"v")
    tr.set(b"\xff/system", b"v")
    assert code_of(tr.get(b"k").wait) == 2102
    assert code_of(tr.get_versionstamp().wait) == 2102
    assert code_of(tr.get_approximate_size().wait) == 2102
    assert code_of(tr.watch(b"k").wait) == 2102
    assert code_of(tr.get_read_version().wait) == 2102
    assert code_of(tr.commit().wait) == 2102
    tr.reset()
    tr.commit().wait()


def test_a_failed_read_fails_the_commit(db: Database) -> None:
    tr = db.create_transaction()
    tr.set_versionstamped_value(b"k", b"\0" * 14)
    tr.get(b"k")
    assert code_of(tr.commit().wait) == 1036


def test_a_closed_database(db: Database) -> None:
    watch = db.get_and_watch(b"k")[1]
    db.close()
    assert code_of(watch.wait) == 1025
    with pytest.raises(DatabaseError, match="closed"):
        db.create_transaction().get(b"k")


@pytest.mark.parametrize("key", ["text", 7, None])
def test_keys_and_values_are_bytes(db: Database, key: Any) -> None:
    tr = db.create_transaction()
    for call in (tr.get, tr.clear, tr.watch, lambda k: tr.set(b"k", k), lambda k: tr.add(k, b"")):
        with pytest.raises(TypeError, match="must be bytes"):
            call(key)


def test_keys_may_be_anything_with_a_key(db: Database) -> None:
    class Name:
        def as_foundationdb_key(self) -> bytes:
            return b"name"

        def as_foundationdb_value(self) -> bytes:
            return b"value"

    db[Name()] = Name()
    assert db[b"name"] == b"value"
    tr = db.create_transaction()
    tr[tr.get(b"name")] = tr.get(b"name")
    tr.commit().wait()
    assert db[b"value"] == b"value"


# --------------------------------------------------------------------------------------------------------- watches


def test_a_watch_that_nobody_holds_is_forgotten(db: Database) -> None:
    db.get_and_watch(b"k")
    gc.collect()
    assert db._watches._open == 0


def test_a_watch_that_somebody_is_called_by_is_kept(db: Database) -> None:
    told: list[object] = []
    db.get_and_watch(b"k")[1].on_ready(told.append)
    gc.collect()
    db[b"k"] = b"v"
    assert len(told) == 1
    assert db._watches._open == 0


def test_a_cancelled_watch_does_not_fire(db: Database) -> None:
    watch = db.clear_and_watch(b"k")
    watch.cancel()
    db[b"k"] = b"v"
    assert code_of(watch.wait) == 1101
    assert db._watches._open == 0


def test_a_watch_destroyed_while_watches_are_counted_does_no_harm(db: Database) -> None:
    counter = db._watches
    watch = db.clear_and_watch(b"k")
    with counter._lock:  # as a garbage collection may find it
        del watch
        gc.collect()
    assert counter._open == 0


# --------------------------------------------------------------------------------------------------------- options


def test_options_without_effect_are_taken(db: Database) -> None:
    tr = db.create_transaction()
    tr.options.set_priority_batch()
    tr.options.set_debug_transaction_identifier("name")
    db.options.set_location_cache_size(100)
    tr.get(b"k").wait()


def test_options_that_cannot_be_had_are_refused(db: Database) -> None:
    with pytest.raises(FDBError, match="access_system_keys") as caught:
        db.create_transaction().options.set_access_system_keys()
    assert caught.value.code == 2108
    with pytest.raises(FDBError, match="special_key_space_relaxed"):
        db.create_transaction().options.set_special_key_space_relaxed()


def test_a_transaction_is_named_before_it_is_logged(db: Database) -> None:
    tr = db.create_transaction()
    tr.options.set_debug_transaction_identifier("name")
    tr.options.set_log_transaction()
    tr.get(b"k").wait()
    tr.options.set_debug_transaction_identifier("another")
    assert code_of(tr.get(b"k").wait) == 2000
    unnamed = db.create_transaction()
    unnamed.options.set_log_transaction()
    assert code_of(unnamed.get(b"k").wait) == 2000
    for identifier in ("", "x" * 101):
        tr = db.create_transaction()
        tr.options.set_debug_transaction_identifier(identifier)
        assert code_of(tr.get(b"k").wait) == 2006


@pytest.mark.parametrize("of_database", [False, True])
def test_a_commit_may_be_protected_from_use_or_not(queued: Database, store: QueueStore, of_database: bool) -> None:
    if of_database:
        queued.options.set_transaction_used_during_commit_protection_disable()
    tr = queued.create_transaction()
    if not of_database:
        tr.options.set_used_during_commit_protection_disable()
    tr.set(b"k", b"v")
    commit = tr.commit()
    assert code_of(tr.get(b"k").wait) == 2017
    store.help_commit()
    assert code_of(commit.wait) == 0


def test_unknown_options_are_no_options(db: Database) -> None:
    with pytest.raises(AttributeError, match="no_such_option"):
        db.create_transaction().options.set_no_such_option()
    with pytest.raises(AttributeError):
        db.options.get_timeout()


def test_a_wrong_option_value_is_a_deferred_error(db: Database) -> None:
    tr = db.create_transaction()
    tr.options.set_timeout(-5)
    assert code_of(tr.get(b"k").wait) == 2006
    tr.reset()
    tr.options.set_size_limit(31)
    assert code_of(tr.commit().wait) == 2006


def test_database_options_are_defaults(db: Database, time: VirtualTime) -> None:
    before = db.create_transaction()
    db.options.set_transaction_timeout(100)
    db.options.set_transaction_max_retry_delay(2)
    db.options.set_transaction_size_limit(100)
    db.options.set_snapshot_ryw_disable()
    db.options.set_transaction_bypass_unreadable()
    tr = db.create_transaction()
    tr.set(b"k", b"v" * 50)
    assert not tr.snapshot.get(b"k").present()
    assert code_of(tr.commit().wait) == 2101
    tr.on_error(1020).wait()
    tr.on_error(1020).wait()
    assert time.slept[-1] <= 0.002
    tr.set_versionstamped_value(b"k", b"\0" * 14)
    assert tr.get(b"k").present()
    time.advance(0.2)
    assert code_of(tr.get(b"k").wait) == 1031
    assert code_of(before.get(b"k").wait) == 0, "which were made before keeps its own"


# -------------------------------------------------------------------------------------------------- direct calls


def test_the_direct_calls_of_a_database(db: Database) -> None:
    db[b"a"] = b"1"
    db.set(b"b", b"2")
    db.add(b"c", b"\3")
    db.set_versionstamped_key(b"stamp/" + b"\0" * 10 + b"\6\0\0\0", b"v")
    assert (db[b"a"], db.get(b"b"), db[b"missing"]) == (b"1", b"2", None)
    assert db[b"a":b"c"] == [(b"a", b"1"), (b"b", b"2")]
    assert db[b"a":b"c":-1] == [(b"b", b"2"), (b"a", b"1")]
    assert [row.value for row in db.get_range_startswith(b"stamp/")] == [b"v"]
    assert db.get_key(KeySelector.first_greater_than(b"a") + 1) == b"c"
    assert db.get_range(None, None, limit=1) == [(b"a", b"1")]
    del db[b"a"]
    del db[b"b":b"c"]
    db.clear_range_startswith(b"stamp/")
    assert db[b"":b"\xff"] == [(b"c", b"\3")]
    db.clear(b"c")
    value, watch = db.get_and_watch(b"c")
    assert not value.present()
    assert not watch.is_ready()


def test_direct_calls_are_retried(queued: Database, store: QueueStore, time: VirtualTime) -> None:
    failures = [1020, 1021, 1007]
    commit = store.commit

    def unlucky(request: CommitRequest, done: CommitDone, /) -> None:
        if failures:
            done(FDBError(failures.pop(0)))
        else:
            commit(request, done)

    store.commit = unlucky  # type: ignore[method-assign]
    queued[b"k"] = b"v"
    assert queued[b"k"] == b"v"
    assert len(time.slept) == 3


@pytest.mark.parametrize("url", ["memory:", "embedded:"])
def test_a_new_database_has_no_metadata_version(url: str, tmp_path: Path) -> None:
    db = phasm_fdb.open(f"{url}{tmp_path / 'db'}" if url == "embedded:" else url)
    tr = db.create_transaction()
    assert tr.get(METADATA_VERSION).value is None
    assert tr.snapshot.get(METADATA_VERSION).value is None
    watch = tr.watch(METADATA_VERSION)
    tr.commit().wait()
    tr.reset()
    tr.set_versionstamped_value(METADATA_VERSION, bytes(14))
    stamp = tr.get_versionstamp()
    tr.commit().wait()
    watch.wait()
    assert db[METADATA_VERSION] == bytes(stamp.wait())
    if url == "embedded:":
        db.close()
