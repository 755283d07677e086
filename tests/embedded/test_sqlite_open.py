"""Opening a file that is not there, not ours, damaged or out of reach: one clear error, and nothing is written."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import sqlite3
import struct
from pathlib import Path

import pytest

from phasm_fdb.embedded import open_sqlite, sqlite_format
from phasm_fdb.errors import DatabaseError
from tests.embedded.sqlite_help import ManualClock, contents, open_store, outcome, put
from tests.embedded.unprivileged import attempt_unprivileged

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


@pytest.mark.parametrize("version", [0, 2, 99])
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
