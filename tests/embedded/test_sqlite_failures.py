"""Commits that fail half way: a full disk, and a COMMIT of which nobody knows whether it happened."""

from __future__ import annotations

import os
import resource
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from phasm_fdb import Layer
from phasm_fdb.embedded import open_sqlite, sqlite_connections
from phasm_fdb.embedded.mutation import SET
from phasm_fdb.embedded.store import Committed
from phasm_fdb.errors import DatabaseError, FDBError
from tests.embedded.sqlite_help import ManualClock, contents, open_store, outcome, put
from tests.machines import Deposit, Wallet

DISK_FULL = DISK_FAILED = 1510
UNKNOWN = 1021
BIG = [(SET, b"big%03d" % number, b"v" * 50_000) for number in range(100)]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of two megabytes, where this user may mount one."""
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(tmp_path)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"cannot mount a small file system: {mounted.stderr.decode().strip()}")
    yield tmp_path
    subprocess.run(["umount", "--lazy", str(tmp_path)], check=True)  # a failed test may have it open


def test_a_full_disk_fails_the_commit_and_loses_nothing(small_disk: Path) -> None:
    store = open_store(small_disk / "db.sqlite", ManualClock())
    put(store, a=b"1")
    result = outcome(store, BIG)
    assert isinstance(result, FDBError)
    assert result.code == DISK_FULL
    assert not result.retryable
    assert "is full: nothing was written" in str(result)
    assert contents(store) == {b"a": b"1"}
    put(store, a=b"2")  # what still has room is committed
    store.close()
    store = open_store(small_disk / "db.sqlite", ManualClock(), check=True)
    assert contents(store) == {b"a": b"2"}
    store.close()


def test_it_goes_on_when_there_is_room_again(small_disk: Path) -> None:
    store = open_store(small_disk / "db.sqlite", ManualClock())
    filler = small_disk / "filler"
    descriptor = os.open(filler, os.O_WRONLY | os.O_CREAT)
    with pytest.raises(OSError, match="No space left"):
        while True:
            os.write(descriptor, bytes(4096))
    os.close(descriptor)
    results = [outcome(store, [(SET, b"%d" % number, b"v" * 4096)]) for number in range(10)]
    assert isinstance(results[-1], FDBError)
    assert results[-1].code == DISK_FULL
    filler.unlink()
    assert isinstance(outcome(store, [(SET, b"now", b"v" * 4096)]), Committed)
    store.close()


def test_a_full_disk_is_no_place_for_a_new_database(small_disk: Path) -> None:
    (small_disk / "filler").write_bytes(bytes(2_080_000))
    with pytest.raises(DatabaseError, match="cannot create the database"):
        open_sqlite(small_disk / "db.sqlite")
    assert os.listdir(small_disk) == ["filler"]  # noqa: PTH208 - no Path is needed


class Breaking(sqlite_connections.Connection):
    """A connection whose COMMIT fails as a test says: before it has done its work, or after."""

    on_commit: Callable[[Callable[[], Any]], Any] | None = None

    def execute(self, sql: str, *parameters: Any) -> Any:
        run = super().execute
        if sql == "COMMIT" and Breaking.on_commit is not None:
            return Breaking.on_commit(lambda: run(sql))
        return run(sql, *parameters)


def broken(code: int) -> sqlite3.OperationalError:
    """The error that SQLite gives with this extended code."""
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = code
    error.sqlite_errorname = "SQLITE_IOERR_FSYNC"
    return error


def fail_before(commit: Callable[[], Any]) -> Any:
    raise broken(sqlite3.SQLITE_IOERR_FSYNC)


def fail_after(commit: Callable[[], Any]) -> Any:
    commit()
    raise broken(sqlite3.SQLITE_IOERR_FSYNC)


def fail_of_memory(commit: Callable[[], Any]) -> Any:
    raise broken(sqlite3.SQLITE_NOMEM)


@pytest.fixture
def breaking(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Breaking]]:
    monkeypatch.setattr(sqlite_connections, "Connection", Breaking)
    yield Breaking
    Breaking.on_commit = None


@pytest.mark.parametrize(
    ("how", "code", "value"),
    [(fail_before, DISK_FAILED, b"1"), (fail_after, DISK_FAILED, b"2"), (fail_of_memory, UNKNOWN, b"1")],
)
def test_a_commit_that_fails_may_have_happened(
    tmp_path: Path, breaking: type[Breaking], how: Any, code: int, value: bytes
) -> None:
    store = open_store(tmp_path / "db.sqlite", ManualClock())
    put(store, a=b"1")
    breaking.on_commit = how
    result = outcome(store, [(SET, b"a", b"2")])
    breaking.on_commit = None
    assert isinstance(result, FDBError)
    assert result.code == code
    assert result.maybe_committed
    assert contents(store) == {b"a": value}
    # Either way the next commits are checked against what is in the file.
    snapshot = store.snapshot()
    assert snapshot.get(b"a") is not None
    assert isinstance(outcome(store, [(SET, b"a", b"3")], snapshot=snapshot, reads=[b"a"]), Committed)
    store.close()


def test_after_1021_the_retry_loop_goes_on(tmp_path: Path, breaking: type[Breaking]) -> None:
    db = open_sqlite(tmp_path / "db.sqlite", poll_seconds=None, sleep=lambda seconds: None)
    attempts: list[int] = []

    def fail_once(commit: Callable[[], Any]) -> Any:
        attempts.append(1)
        if len(attempts) == 1:
            commit()
            raise broken(sqlite3.SQLITE_NOMEM)
        return commit()

    breaking.on_commit = fail_once
    db[b"a"] = b"idempotent"
    assert len(attempts) == 2
    assert db[b"a"] == b"idempotent"
    db.close()


def test_a_disk_that_fails_to_sync_is_not_tried_again_and_the_caller_is_told_why(
    tmp_path: Path, breaking: type[Breaking]
) -> None:
    db = open_sqlite(tmp_path / "db.sqlite", poll_seconds=None, sleep=lambda seconds: None)
    layer = Layer(Wallet(), ("app",))
    layer.apply(db, Deposit("ann", 1))
    attempts: list[int] = []

    def fail(commit: Callable[[], Any]) -> Any:
        attempts.append(1)
        return fail_after(commit)

    breaking.on_commit = fail
    with pytest.raises(FDBError, match=r"SQLITE_IOERR_FSYNC.*may have happened or not") as caught:
        layer.apply(db, Deposit("ann", 1), request_id="r")
    breaking.on_commit = None
    assert len(attempts) == 1
    assert caught.value.maybe_committed
    assert "it may have committed" in " ".join(caught.value.__notes__)
    assert layer.apply(db, Deposit("ann", 1), request_id="r").repeated
    db.close()


@pytest.fixture
def limited() -> Iterator[None]:
    """No file may become longer than 300,000 bytes: a write beyond fails with EFBIG."""
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, most))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))


def test_a_limit_to_the_size_of_files_fails_the_commit_at_once(tmp_path: Path, limited: None) -> None:
    db = open_sqlite(tmp_path / "db.sqlite", synchronous="normal", poll_seconds=None, sleep=lambda seconds: None)
    layer = Layer(Wallet(), ("app",))
    applied = 0
    with pytest.raises(FDBError, match=r"SQLITE_IOERR_WRITE.*ulimit -f") as caught:
        while True:
            layer.apply(db, Deposit("ann", 1), request_id=applied)
            applied += 1
    assert applied > 5
    assert (caught.value.code, caught.value.retryable, caught.value.maybe_committed) == (DISK_FAILED, False, False)
    db.close()
    db = open_sqlite(tmp_path / "db.sqlite", check=True)
    assert layer.view(db).balance["ann"] == applied
    db.close()
