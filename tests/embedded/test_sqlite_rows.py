"""A bit that has flipped in a stored value is an error that names the key, and nothing but that value is lost."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phasm_fdb import Layer
from phasm_fdb.embedded import open_sqlite
from phasm_fdb.embedded.mutation import ADD, CLEAR, CLEAR_RANGE, SET
from phasm_fdb.embedded.sqlite import SqliteStore
from phasm_fdb.embedded.sqlite_rows import SummedRows
from phasm_fdb.embedded.store import Committed
from phasm_fdb.errors import DatabaseError, FDBError
from tests.embedded.sqlite_help import END, ManualClock, contents, open_store, outcome, put
from tests.machines import Deposit, Wallet

DAMAGED = 1522


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "db.sqlite"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def store(path: Path, clock: ManualClock) -> Iterator[SqliteStore]:
    """A database in which a bit of the value of `b` has flipped."""
    store = open_store(path, clock)
    put(store, a=b"one", b=b"two", c=b"three")
    flip(path, "UPDATE kv SET value = ? WHERE key = ?", b"b")
    yield store
    store.close()


def flip(path: Path, statement: str, key: bytes, bit: int = 9) -> None:
    """Flip a bit of what is stored under a key."""
    connection = sqlite3.connect(path)
    stored = bytearray(connection.execute("SELECT value FROM kv WHERE key = ?", (key,)).fetchone()[0])
    stored[bit // 8] ^= 1 << bit % 8
    connection.execute(statement, (bytes(stored), key))
    connection.commit()
    connection.close()


def refused(error: pytest.ExceptionInfo[FDBError], path: Path) -> bool:
    return error.value.code == DAMAGED and str(path) in str(error.value) and "the key b'b'" in str(error.value)


@given(st.binary(max_size=40), st.binary(max_size=200), st.data())
def test_every_flipped_bit_is_found(key: bytes, value: bytes, data: st.DataObject) -> None:
    rows = SummedRows(Path("file"))
    stored = rows.pack(key, value)
    assert rows.unpack(key, stored) == value
    assert rows.unpack_all([(key, stored)]) == [(key, value)]
    both = bytearray(key + stored)
    bit = data.draw(st.integers(0, len(both) * 8 - 1))
    both[bit // 8] ^= 1 << bit % 8
    flipped = bytes(both[: len(key)]), bytes(both[len(key) :])
    for read in (lambda: rows.unpack(*flipped), lambda: rows.unpack_all([(key, stored), flipped])):
        with pytest.raises(FDBError) as caught:
            read()
        assert caught.value.code == DAMAGED
        assert repr(flipped[0]) in str(caught.value)


def test_a_read_of_it_is_an_error_and_other_reads_are_not(store: SqliteStore, path: Path) -> None:
    for read in (
        lambda: store.snapshot().get(b"b"),
        lambda: store.snapshot().range(b"", END, 10, False),
        lambda: store.snapshot().range(b"a", b"c", 10, True),
    ):
        with pytest.raises(FDBError) as caught:
            read()
        assert refused(caught, path)
        assert not caught.value.retryable
    assert store.snapshot().get(b"a") == b"one"
    assert store.snapshot().range(b"c", END, 10, False) == [(b"c", b"three")]


def test_a_flipped_bit_of_the_file_itself(path: Path, clock: ManualClock) -> None:
    db = open_sqlite(path, poll_seconds=None)
    layer = Layer(Wallet(), ("wallets",))
    layer.apply(db, Deposit("ann", 70_000))
    db[b"plain"] = b"a value like no other"
    db.close()
    data = bytearray(path.read_bytes())
    at = data.index(b"a value like no other")
    data[at] ^= 0x04
    path.write_bytes(data)
    with pytest.raises(DatabaseError, match=r"the key b'plain' is not what was written"):
        open_sqlite(path, check=True)
    db = open_sqlite(path, poll_seconds=None)
    with pytest.raises(FDBError, match=r"the key b'plain' is not what was written") as caught:
        db.create_transaction().get(b"plain").wait()
    assert caught.value.code == DAMAGED
    assert layer.view(db).balance["ann"] == 70_000
    db.close()


def test_overwriting_or_clearing_mends_it(store: SqliteStore, path: Path) -> None:
    for mend in ([(SET, b"b", b"new")], [(CLEAR, b"b", b"")], [(CLEAR_RANGE, b"a", b"bb")]):
        before = store.snapshot().version
        assert isinstance(outcome(store, mend), Committed)
        assert contents(store)[b"c"] == b"three"
        with pytest.raises(FDBError) as caught:
            store.snapshot(before).get(b"c")
        assert caught.value.code == 1007, "nobody knows what was there before"
        put(store, b=b"two")
        flip(path, "UPDATE kv SET value = ? WHERE key = ?", b"b")


def test_an_atomic_operation_on_it_fails_alone(store: SqliteStore, path: Path) -> None:
    result = outcome(store, [(SET, b"a", b"2"), (ADD, b"b", b"\x01")])
    assert isinstance(result, FDBError)
    assert result.code == DAMAGED
    assert "the key b'b'" in str(result)
    assert store.snapshot().get(b"a") == b"one"
    put(store, a=b"2")


def test_a_watch_of_it_fires(store: SqliteStore, path: Path) -> None:
    """Whoever waits for it reads it then, and is told."""
    fired: list[FDBError | None] = []
    store.watch(b"a", b"one", fired.append)
    assert fired == []
    store.watch(b"b", b"two", fired.append)
    assert fired == [None]


def test_a_damaged_history_only_ends_what_needs_it(store: SqliteStore, path: Path, clock: ManualClock) -> None:
    before = store.snapshot()
    assert before.get(b"a") == b"one"
    put(store, a=b"2")
    connection = sqlite3.connect(path)
    connection.execute(
        "UPDATE history SET writes = x'92', undo = x'80' WHERE version = (SELECT max(version) FROM history)"
    )
    connection.commit()
    connection.close()
    other = open_store(path, clock)
    with pytest.raises(FDBError) as caught:
        other.snapshot(before.version).get(b"a")
    assert caught.value.code == 1007
    late = other.snapshot(before.version)
    result = outcome(other, [(SET, b"x", b"")], snapshot=late, reads=[b"a"])
    assert isinstance(result, FDBError)
    assert result.code == 1007
    assert other.snapshot().get(b"a") == b"2"
    put(other, a=b"3")
    assert store.snapshot().get(b"a") == b"3"
    other.close()
