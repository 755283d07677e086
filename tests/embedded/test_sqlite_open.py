"""Opening a file that is not there, not ours, damaged or out of reach: one clear error, and nothing is written."""

from __future__ import annotations

import fcntl
import hashlib
import os
import random
import shutil
import sqlite3
import struct
from pathlib import Path

import pytest

from phasm_fdb.embedded import open_sqlite, sqlite_connections, sqlite_format, sqlite_log
from phasm_fdb.errors import DatabaseError
from tests.embedded.sqlite_help import ManualClock, contents, open_store, outcome, put
from tests.embedded.unprivileged import attempt_unprivileged
from tests.forking import Child

SMALL, LARGE = 200, 60_000  # pairs: some pages, and more bytes than are checked at every open


def make(path: Path, pairs: int = SMALL) -> Path:
    """A closed database file with so many pairs."""
    store = open_store(path, ManualClock())
    rows = [(0, b"%06d" % number, b"v" * 100) for number in range(pairs)]
    outcome(store, rows)
    store.close()
    return path


def refusal(path: Path, *, check: bool = False) -> str:
    """The message of the error that opening raises; the directory is as it was before."""
    before = fingerprint(path.parent)
    with pytest.raises(DatabaseError) as caught:
        open_sqlite(path, check=check)
    assert fingerprint(path.parent) == before, "something was written"
    assert str(path) in str(caught.value)
    return str(caught.value)


def fingerprint(directory: Path) -> dict[str, str]:
    if not directory.is_dir():
        return {}
    return {
        entry.name: hashlib.sha256(entry.read_bytes()).hexdigest() for entry in directory.iterdir() if entry.is_file()
    }


def names(directory: Path) -> list[str]:
    return sorted(entry.name for entry in directory.iterdir())


def test_a_new_file_is_whole_at_once(tmp_path: Path) -> None:
    open_sqlite(tmp_path / "db.sqlite").close()
    assert names(tmp_path) == ["db.sqlite"]
    open_sqlite(tmp_path / "db.sqlite", check=True).close()


def test_the_second_of_two_that_make_a_file_opens_the_first_ones(tmp_path: Path) -> None:
    path = tmp_path / "db.sqlite"
    store = open_store(path, ManualClock())
    put(store, a=b"1")
    sqlite_format.create(path, now=0.0)  # as if it had looked before the file was there
    assert contents(store) == {b"a": b"1"}
    store.close()


def test_a_missing_directory(tmp_path: Path) -> None:
    assert "there is no directory" in refusal(tmp_path / "nowhere" / "db.sqlite")


def test_a_directory_in_place_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "db.sqlite").mkdir()
    assert "not a file" in refusal(tmp_path / "db.sqlite")


@pytest.mark.parametrize("data", [b"hello\n", b"PK\x03\x04" + bytes(5000), b"S" * 99])
def test_a_foreign_file(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "notes.txt"
    path.write_bytes(data)
    assert "not an SQLite database" in refusal(path)


def test_an_sqlite_file_of_another_application(tmp_path: Path) -> None:
    path = tmp_path / "other.sqlite"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE kv (key BLOB PRIMARY KEY, value BLOB)")
    connection.commit()
    connection.close()
    assert "another application" in refusal(path)


@pytest.mark.parametrize("version", [0, 3, 99])
def test_another_format(tmp_path: Path, version: int) -> None:
    path = make(tmp_path / "db.sqlite")
    data = bytearray(path.read_bytes())
    data[60:64] = struct.pack(">I", version)
    path.write_bytes(data)
    assert f"format is version {version}" in refusal(path)


@pytest.mark.parametrize("length", [0, 1, 50, 99, 100, 1000, 4096, 5000, 4096 * 3])
def test_a_truncated_file(tmp_path: Path, length: int) -> None:
    path = make(tmp_path / "db.sqlite")
    os.truncate(path, length)
    assert "damaged" in refusal(path)


def test_a_file_that_lost_its_last_byte(tmp_path: Path) -> None:
    path = make(tmp_path / "db.sqlite")
    os.truncate(path, path.stat().st_size - 1)
    assert "cut short" in refusal(path)


@pytest.mark.parametrize("seed", range(8))
def test_a_torn_page_of_a_small_file(tmp_path: Path, seed: int) -> None:
    """Half of a page is of another time: SQLite finds that in its structure, wherever the page is."""
    path = make(tmp_path / "db.sqlite")
    rng = random.Random(seed)
    pages = path.stat().st_size // sqlite_format.PAGE_SIZE
    tear(path, rng.randrange(1, pages), rng)
    assert "damaged" in refusal(path)


def test_a_torn_page_of_a_large_file_is_found_on_request(tmp_path: Path) -> None:
    path = make(tmp_path / "db.sqlite", LARGE)
    pages = path.stat().st_size // sqlite_format.PAGE_SIZE
    assert path.stat().st_size > sqlite_format.ALWAYS_CHECKED_BYTES
    tear(path, pages // 2, random.Random(1))
    assert "damaged" in refusal(path, check=True)
    open_sqlite(path).close()  # one path through each table is whole


def tear(path: Path, page: int, rng: random.Random) -> None:
    with path.open("r+b") as file:
        file.seek(page * sqlite_format.PAGE_SIZE)
        file.write(rng.randbytes(sqlite_format.PAGE_SIZE // 2))


def test_a_log_that_was_left_behind_is_recovered(tmp_path: Path) -> None:
    """A copy of file and log is what a crashed process leaves."""
    path, copy = tmp_path / "db.sqlite", tmp_path / "copy.sqlite"
    store = open_store(path, ManualClock())
    outcome(store, [(0, b"%06d" % number, b"v" * 100) for number in range(SMALL)])
    copy_with_log(path, copy)
    store.close()
    recovered = open_store(copy, ManualClock())
    assert len(contents(recovered)) == SMALL
    recovered.close()


def test_a_crash_in_the_middle_of_a_checkpoint_is_not_taken_for_damage(tmp_path: Path) -> None:
    """The first page, which says how long the file is, has been copied from the log, the last ones not yet."""
    path, copy = tmp_path / "db.sqlite", tmp_path / "copy.sqlite"
    store = open_store(path, ManualClock())
    outcome(store, [(0, b"%06d" % number, b"v" * 100) for number in range(SMALL)])
    copy_with_log(path, copy)
    store.close()  # which checkpoints
    with copy.open("r+b") as file:
        file.write(path.read_bytes()[: sqlite_format.PAGE_SIZE])
    assert copy.stat().st_size < path.stat().st_size
    recovered = open_store(copy, ManualClock(), check=True)
    assert len(contents(recovered)) == SMALL
    recovered.close()


def copy_with_log(path: Path, copy: Path) -> None:
    shutil.copy(path, copy)
    shutil.copy(sqlite_format.companions(path)[0], sqlite_format.companions(copy)[0])


def test_a_log_whose_database_is_gone_is_not_taken_for_that_of_a_new_one(tmp_path: Path) -> None:
    """As when a process was killed, and then somebody removed the file alone, to start anew."""
    path, log = tmp_path / "db.sqlite", tmp_path / "db.sqlite-wal"
    store = open_store(path, ManualClock())
    put(store, a=b"1")
    kept = log.read_bytes()
    store.close()
    path.unlink()
    log.write_bytes(kept)
    message = refusal(path)
    assert "may hold its last commits" in message
    assert f"remove {log}" in message
    log.write_bytes(b"")  # a process that never committed leaves this
    store = open_store(path, ManualClock())
    assert contents(store) == {}
    store.close()


def test_a_log_beside_a_file_that_another_process_has_just_made_is_no_hindrance(tmp_path: Path) -> None:
    path = tmp_path / "db.sqlite"
    store = open_store(path, ManualClock())
    put(store, a=b"1")
    sqlite_format.create(path, now=0.0)  # as if it had looked before the file was there
    store.close()


def test_it_is_the_same_database_by_every_symbolic_link(tmp_path: Path) -> None:
    """With a log that only the true name leads to, as a killed process leaves it."""
    (tmp_path / "real").mkdir()
    (tmp_path / "links").mkdir()
    real, link = tmp_path / "real" / "db.sqlite", tmp_path / "links" / "link.sqlite"
    (tmp_path / "links" / "directory").symlink_to(tmp_path / "real")
    link.symlink_to("../real/db.sqlite")
    store = open_store(link, ManualClock())  # which makes it, through a link that leads nowhere yet
    outcome(store, [(0, b"%06d" % number, b"v" * 100) for number in range(SMALL)])
    made, crashed = tmp_path / "real" / "db.sqlite", tmp_path / "crashed.sqlite"
    copy_with_log(made, crashed)
    store.close()
    assert names(tmp_path / "links") == ["directory", "link.sqlite"]
    # The first page, which says how long the file is, was copied from the log, and nothing else.
    crashed_bytes = real.read_bytes()[: sqlite_format.PAGE_SIZE] + crashed.read_bytes()[sqlite_format.PAGE_SIZE :]
    for name in (link, tmp_path / "links" / "directory" / "db.sqlite", real):
        real.write_bytes(crashed_bytes)
        shutil.copy(sqlite_format.companions(crashed)[0], sqlite_format.companions(real)[0])
        store = open_store(name, ManualClock(), check=True)
        assert len(contents(store)) == SMALL
        store.close()


def test_two_names_of_one_process_for_one_file_are_refused_where_they_would_have_two_logs(tmp_path: Path) -> None:
    path, other = make(tmp_path / "db.sqlite"), tmp_path / "other.sqlite"
    os.link(path, other)
    store = open_store(path, ManualClock())
    assert f"it is open here as {path}" in refusal(other)
    store.close()
    open_store(other, ManualClock()).close()


def test_a_file_that_another_process_has_locked_is_not_called_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As while it recovers the log, or looks whether that is the file's own."""
    for module in (sqlite_format, sqlite_connections):
        monkeypatch.setattr(module, "OPEN_SECONDS", 0.0)
    path = make(tmp_path / "db.sqlite")

    def hold(child: Child) -> None:
        with path.open("rb+") as file:
            fcntl.lockf(file, fcntl.LOCK_EX, sqlite_log.SHARED_LOCK_BYTES, sqlite_log.SHARED_LOCK_AT)
            child.pause()

    child = Child(hold)
    assert child.answer() == "paused"
    with pytest.raises(DatabaseError, match="locked"):
        open_store(path, ManualClock())
    connection = sqlite3.connect(path)  # one that was made before the lock came
    with pytest.raises(DatabaseError, match="another process has it locked; try again"):
        sqlite_format.check(connection, path, full=False)
    connection.close()
    child.resume()
    assert child.end() is None
    open_store(path, ManualClock()).close()


def test_an_unknown_synchronous_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatabaseError, match="'full' or 'normal'"):
        open_sqlite(tmp_path / "db.sqlite", synchronous="off")  # type: ignore[arg-type]
    assert names(tmp_path) == []


def test_a_directory_that_may_not_be_written(public_path: Path) -> None:
    make(public_path / "db.sqlite")
    public_path.chmod(0o555)
    assert f"may not write in {public_path}" in attempt_unprivileged(str(public_path / "db.sqlite"))
    assert f"may not write in {public_path}" in attempt_unprivileged(str(public_path / "new.sqlite"))
    assert names(public_path) == ["db.sqlite"]


def test_a_file_that_may_not_be_written(public_path: Path) -> None:
    path = make(public_path / "db.sqlite")
    path.chmod(0o444)
    assert "may not read and write it" in attempt_unprivileged(str(path))
    assert names(public_path) == ["db.sqlite"]
