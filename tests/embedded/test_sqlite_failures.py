"""Commits that fail half way: a full disk, and a COMMIT of which nobody knows whether it happened."""

from __future__ import annotations

import os
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from phasm_fdb.embedded import open_sqlite
from phasm_fdb.embedded.mutation import SET
from phasm_fdb.embedded.store import Committed
from phasm_fdb.errors import DatabaseError, FDBError
from tests.embedded.sqlite_help import ManualClock, contents, open_store, outcome, put

DISK_FULL, UNKNOWN = 1510, 1021
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


class Breaking(sqlite3.Connection):
    """A connection whose COMMIT fails as a test says: before it has done its work, or after."""

    on_commit: Callable[[Callable[[], Any]], Any] | None = None

    def execute(self, sql: str, *parameters: Any) -> Any:
        run = super().execute
        if sql == "COMMIT" and Breaking.on_commit is not None:
            return Breaking.on_commit(lambda: run(sql))
        return run(sql, *parameters)


def io_error() -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC
    return error


def fail_before(commit: Callable[[], Any]) -> Any:
    raise io_error()


def fail_after(commit: Callable[[], Any]) -> Any:
    commit()
    raise io_error()


@pytest.fixture
def breaking(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Breaking]]:
    connect = sqlite3.connect
    monkeypatch.setattr(
        "phasm_fdb.embedded.sqlite_connections.sqlite3.connect",
        lambda *args, **options: connect(*args, factory=Breaking, **options),
    )
    yield Breaking
    Breaking.on_commit = None


@pytest.mark.parametrize("how", [fail_before, fail_after])
def test_a_commit_of_unknown_outcome_is_1021(tmp_path: Path, breaking: type[Breaking], how: Any) -> None:
    store = open_store(tmp_path / "db.sqlite", ManualClock())
    put(store, a=b"1")
    breaking.on_commit = how
    result = outcome(store, [(SET, b"a", b"2")])
    breaking.on_commit = None
    assert isinstance(result, FDBError)
    assert result.code == UNKNOWN
    assert result.maybe_committed
    assert contents(store) == {b"a": b"2" if how is fail_after else b"1"}
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
            raise io_error()
        return commit()

    breaking.on_commit = fail_once
    db[b"a"] = b"idempotent"
    assert len(attempts) == 2
    assert db[b"a"] == b"idempotent"
    db.close()
