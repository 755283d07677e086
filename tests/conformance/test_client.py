"""What layers and tools use of the client beside reads and writes: attributes, other names, the metadata version."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest

Key = Callable[[bytes], bytes]
Fails = Callable[[int], AbstractContextManager[None]]

METADATA_VERSION = b"\xff/metadataVersion"


def test_a_transaction_takes_attributes(database: Any) -> None:
    """The directory layer keeps its allocator's state in them."""
    tr = database.create_transaction()
    tr.mine = [1]
    assert tr.mine == [1]


def test_arguments_may_be_given_by_name(engine: Any, database: Any, at: Key) -> None:
    tr = database.create_transaction()
    tr.set(key=at(b"a"), value=b"1")
    tr.add(key=at(b"n"), param=b"\1")
    tr.add_read_conflict_range(begin=at(b"a"), end=at(b"b"))
    tr.add_write_conflict_key(key=at(b"z"))
    assert tr.get(key=at(b"a")).value == b"1"
    assert tr.snapshot.get(key=at(b"a")).value == b"1"
    assert tr.get_key(key_selector=engine.KeySelector(at(b"a"), False, 1)).value == at(b"a")
    assert [row.value for row in tr.get_range(begin=at(b"a"), end=at(b"b"))] == [b"1"]
    tr.clear(key=at(b"a"))
    tr.clear_range(begin=at(b"a"), end=at(b"b"))
    tr.clear_range_startswith(prefix=at(b"a"))
    tr.set_versionstamped_value(key=at(b"v"), param=bytes(14))
    tr.watch(key=at(b"w"))
    tr.commit().wait()
    assert database.get(key=at(b"n")) == b"\1"
    database.set(key=at(b"a"), value=b"1")
    database.clear(key=at(b"a"))


@pytest.mark.parametrize("name", ["add", "and", "or", "xor", "max", "min", "byte_max", "append_if_fits"])
def test_an_operation_has_its_name_with_and_without_bit(database: Any, at: Key, name: str) -> None:
    short, long = at(b"short"), at(b"long")
    for operations in (database.create_transaction(), database):
        for key, method in ((short, name), (long, f"bit_{name}")):
            operations.set(key, b"\x0c")
            getattr(operations, method)(key, b"\x0a")
        assert operations.get(short) == operations.get(long) != None  # noqa: E711 - a future that may equal None


def test_a_future_has_the_names_of_asyncio_s(database: Any, at: Key, engine: Any) -> None:
    database[at(b"k")] = b"v"
    tr = database.create_transaction()
    ready = tr.get(at(b"k"))
    ready.wait()
    assert ready.done()
    assert bytes(ready.result()) == b"v"
    assert ready.exception() is None
    assert not ready.cancelled()
    waiting = tr.watch(at(b"k"))
    assert not waiting.done()
    assert not waiting.cancelled()
    with pytest.raises(Exception, match="not available"):
        waiting.result()
    with pytest.raises(Exception, match="not available"):
        waiting.exception()
    waiting.cancel()
    with pytest.raises(engine.FDBError):
        waiting.wait()  # on a cluster, another thread ends it
    assert waiting.done()
    assert waiting.cancelled()
    assert isinstance(waiting.exception(), engine.FDBError)


def test_the_client_says_how_it_is(database: Any) -> None:
    assert b"Healthy" in bytes(database.get_client_status().wait())


def test_the_metadata_version_is_read_and_set_by_everybody(database: Any, fails: Fails) -> None:
    first = database.create_transaction()  # what is dropped is cancelled
    first.set_versionstamped_value(METADATA_VERSION, bytes(14))  # a cluster has none before the first one
    first.commit().wait()
    first.reset()
    before = bytes(first.get(METADATA_VERSION).wait())
    assert len(before) == 10
    reader = database.create_transaction()
    assert reader.snapshot.get(METADATA_VERSION).wait() == before
    reader.get(METADATA_VERSION).wait()
    tr = database.create_transaction()
    watch = tr.watch(METADATA_VERSION)
    tr.commit().wait()
    tr = database.create_transaction()
    tr.set_versionstamped_value(METADATA_VERSION, bytes(14))
    with fails(1036):
        tr.get(METADATA_VERSION).wait()
    tr.reset()
    tr.set_versionstamped_value(METADATA_VERSION, bytes(14))
    stamp = tr.get_versionstamp()
    tr.commit().wait()
    watch.wait()
    last = database.create_transaction()
    assert bytes(last.get(METADATA_VERSION).wait()) == bytes(stamp.wait())
    reader.add_write_conflict_key(b"mine")
    with fails(1020):
        reader.commit().wait()


@pytest.mark.parametrize("method", ["set", "add", "set_versionstamped_value", "clear"])
def test_nothing_else_can_be_done_to_the_metadata_version(database: Any, fails: Fails, method: str) -> None:
    tr = database.create_transaction()
    arguments = () if method == "clear" else (b"v" * 14,)
    with fails(2004 if method == "clear" else 2000):
        getattr(tr, method)(METADATA_VERSION, *arguments)
        tr.commit().wait()


@pytest.mark.parametrize(
    "option", ["set_report_conflicting_keys", "set_used_during_commit_protection_disable", "set_read_system_keys"]
)
def test_options_that_are_taken(database: Any, at: Key, option: str) -> None:
    tr = database.create_transaction()
    getattr(tr.options, option)()
    tr.set(at(b"k"), b"v")
    assert bytes(tr.get(at(b"k")).wait()) == b"v"
    tr.commit().wait()


def test_system_keys_are_read_where_that_is_allowed(database: Any, at: Key, fails: Fails) -> None:
    database[at(b"k")] = b"v"
    tr = database.create_transaction()
    tr.options.set_read_system_keys()
    assert not tr.get(b"\xff/no such key").present()
    assert [bytes(row.key) for row in tr.get_range(at(b"k"), b"\xff\x00", 1)] == [at(b"k")]
    list(tr.get_range(b"\xff", b"\xff\xff", 5))
    tr.set(b"\xff/k", b"v")
    with fails(2004):
        tr.commit().wait()


def test_the_size_of_a_range_may_be_asked_beyond_the_users_keys(database: Any, at: Key) -> None:
    assert database.create_transaction().get_estimated_range_size_bytes(at(b"a"), b"\xff\xff").wait() >= 0
