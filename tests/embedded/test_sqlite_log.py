"""A log that was left beside another file, or another state of the file, is not written over it."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import pytest

from phasm_fdb.embedded import sqlite_commit
from phasm_fdb.embedded.sqlite_format import PAGE_SIZE, companions
from phasm_fdb.errors import DatabaseError
from tests.embedded.sqlite_help import ManualClock, contents, open_store, put

ROWS = 60


def fill(path: Path, begin: int, clock: ManualClock, crash: Path | None = None) -> None:
    """Commit some rows and close; to `crash` goes what a kill just before would have left."""
    store = open_store(path, clock)
    for number in range(begin, begin + ROWS):
        put(store, **{f"{path.name}{number:06d}": b"v" * 100})
    if crash is not None:
        shutil.copy(path, crash)
        shutil.copy(companions(path)[0], companions(crash)[0])
    store.close()


def opened(path: Path) -> int:
    """How many rows are there when it is opened, checked as a whole."""
    store = open_store(path, ManualClock(), check=True)
    rows = len(contents(store))
    store.close()
    return rows


def refusal(path: Path) -> str:
    """The error that opening it raises; file and log are as they were."""
    log = companions(path)[0]
    before = path.read_bytes(), log.read_bytes()
    with pytest.raises(DatabaseError) as caught:
        open_store(path, ManualClock())
    assert (path.read_bytes(), log.read_bytes()) == before
    return str(caught.value)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def crashed(tmp_path: Path, clock: ManualClock) -> Path:
    """What a killed process has left, in its second run; `early`, `base` and `later` are earlier and later states."""
    path, crashed = tmp_path / "db", tmp_path / "crashed"
    fill(path, 0, clock)
    shutil.copy(path, tmp_path / "early")
    fill(path, ROWS, clock)
    shutil.copy(path, tmp_path / "base")
    fill(path, 2 * ROWS, clock, crashed)
    shutil.copy(path, tmp_path / "whole")
    fill(path, 3 * ROWS, clock)
    shutil.copy(path, tmp_path / "later")
    return crashed


def test_what_a_crash_leaves_is_recovered(crashed: Path) -> None:
    assert opened(crashed) == 3 * ROWS


def test_the_state_that_the_log_goes_on_from_belongs_to_it_and_so_does_what_a_checkpoint_has_made(
    crashed: Path, tmp_path: Path
) -> None:
    for name in ("base", "whole"):
        log = companions(crashed)[0].read_bytes()
        copy = tmp_path / f"copy of {name}"
        shutil.copy(tmp_path / name, copy)
        companions(copy)[0].write_bytes(log)
        assert opened(copy) == 3 * ROWS


@pytest.mark.parametrize("state", ["early", "later"])
def test_another_state_of_the_same_database_is_refused(crashed: Path, tmp_path: Path, state: str) -> None:
    """As after a backup was restored over the file, and its log left."""
    shutil.copy(tmp_path / state, crashed)
    message = refusal(crashed)
    assert f"the log beside it, {companions(crashed)[0]}, is not of this file" in message
    for companion in companions(crashed):
        companion.unlink(missing_ok=True)  # what the message says
    assert opened(crashed) == (ROWS if state == "early" else 4 * ROWS)


def test_another_database_is_refused(crashed: Path, tmp_path: Path, clock: ManualClock) -> None:
    other = tmp_path / "other"
    for begin in (0, ROWS):
        fill(other, begin, clock)
    shutil.copy(other, crashed)
    assert "is not of this file" in refusal(crashed)


def test_a_checkpoint_that_was_cut_short_anywhere_is_recovered(crashed: Path, tmp_path: Path) -> None:
    """It copies the pages of the log in their order; any first ones of them may be there."""
    base, whole = (tmp_path / "base").read_bytes(), (tmp_path / "whole").read_bytes()
    log = companions(crashed)[0].read_bytes()
    for pages in range(0, len(whole) // PAGE_SIZE, 3):
        cut = tmp_path / f"cut{pages}"
        copied = whole[: pages * PAGE_SIZE]
        cut.write_bytes(copied + base[len(copied) :])
        companions(cut)[0].write_bytes(log)
        assert opened(cut) == 3 * ROWS


def test_a_log_that_starts_over_after_a_checkpoint_belongs_to_what_that_has_made(
    tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one process, and beside another that only reads."""
    monkeypatch.setattr(sqlite_commit, "CHECKPOINT_PAGES", 50)
    path = tmp_path / "db"
    store, other = open_store(path, clock), open_store(path, clock)
    states: list[tuple[bytes, bytes]] = []
    for number in range(400):
        put(store if number % 7 else other, a=b"%d" % number, filler=bytes(2000))
        if number % 40 == 0:
            states.append((path.read_bytes(), companions(path)[0].read_bytes()))
    store.close()
    other.close()
    for number, (file, log) in enumerate(states):
        copy = tmp_path / f"at {number}"
        copy.write_bytes(file)
        companions(copy)[0].write_bytes(log)
        recovered = open_store(copy, clock, check=True)
        assert contents(recovered)[b"a"] == b"%d" % (number * 40)
        recovered.close()
    for file, log in ((states[1][0], states[-1][1]), (states[-1][0], states[1][1])):
        mixed = tmp_path / "mixed"
        mixed.write_bytes(file)
        companions(mixed)[0].write_bytes(log)
        assert "is not of this file" in refusal(mixed)


def test_a_file_that_is_in_use_was_looked_at_by_who_opened_it_first(crashed: Path, clock: ManualClock) -> None:
    first = open_store(crashed, clock)
    put(first, a=b"1")
    second = open_store(crashed, clock)
    assert len(contents(second)) == 3 * ROWS + 1
    second.close()
    first.close()


def test_a_torn_log_is_recovered_as_far_as_it_is_sound(crashed: Path, tmp_path: Path) -> None:
    log = companions(crashed)[0].read_bytes()
    for length in (40, 32 + 24 + 100, len(log) // 2, len(log) - 1):
        torn = tmp_path / f"torn{length}"
        shutil.copy(tmp_path / "base", torn)
        companions(torn)[0].write_bytes(log[:length] + bytes(len(log) - length))
        assert 2 * ROWS <= opened(torn) <= 3 * ROWS


def test_the_mark_is_where_it_is_looked_for(crashed: Path) -> None:
    """In every file that is made here, also when SQLite has moved it."""
    store = open_store(crashed, ManualClock())
    store.close()
    connection = sqlite3.connect(crashed)
    (mark,) = connection.execute("SELECT mark FROM mark").fetchone()
    connection.execute("VACUUM")
    connection.close()
    assert len(mark) == 24
    assert int.from_bytes(mark[16:], "big") == 3
    assert opened(crashed) == 3 * ROWS
