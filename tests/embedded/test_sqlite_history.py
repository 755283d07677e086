"""Older versions of an SQLite file: readable inside the window, refused past it, and never numbered backwards."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phasm_fdb.embedded import sqlite_batch
from phasm_fdb.embedded.mutation import ADD, CLEAR, CLEAR_RANGE, SET, Mutation
from phasm_fdb.embedded.sqlite import SqliteStore
from phasm_fdb.embedded.sqlite_history import History, Horizon, OldValues, RecentWrites
from phasm_fdb.embedded.sqlite_rows import SummedRows
from phasm_fdb.embedded.store import WINDOW_SECONDS, WINDOW_VERSIONS, Committed
from phasm_fdb.errors import FDBError
from tests.embedded.sqlite_help import END, ManualClock, contents, open_store, outcome, put


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "db.sqlite"


@pytest.fixture
def store(path: Path, clock: ManualClock) -> Iterator[SqliteStore]:
    store = open_store(path, clock)
    yield store
    store.close()


@pytest.fixture
def other(path: Path, clock: ManualClock, store: SqliteStore) -> Iterator[SqliteStore]:
    """The same file, as another process would have it open."""
    other = open_store(path, clock)
    yield other
    other.close()


def refused(store: SqliteStore, version: int) -> int:
    with pytest.raises(FDBError) as caught:
        store.snapshot(version)
    return caught.value.code


def test_a_snapshot_keeps_its_version(store: SqliteStore, other: SqliteStore) -> None:
    put(store, a=b"1", b=b"1")
    for reader in (store, other):
        snapshot = reader.snapshot()
        assert snapshot.get(b"a") == b"1"
        outcome(store, [(SET, b"a", b"2"), (CLEAR, b"b", b""), (SET, b"c", b"2")])
        assert [snapshot.get(key) for key in (b"a", b"b", b"c")] == [b"1", b"1", None]
        assert snapshot.range(b"", END, 10, False) == [(b"a", b"1"), (b"b", b"1")]
        outcome(store, [(SET, b"a", b"1"), (SET, b"b", b"1"), (CLEAR, b"c", b"")])


def test_a_read_version_is_that_of_the_last_commit(store: SqliteStore, other: SqliteStore) -> None:
    version = put(store, a=b"1")
    assert store.snapshot().version == other.snapshot().version == version
    assert put(store, a=b"2") > version


def test_a_refused_commit_takes_a_version_too(store: SqliteStore) -> None:
    snapshot = store.snapshot()
    assert snapshot.get(b"a") is None
    version = put(store, a=b"1")
    result = outcome(store, [(SET, b"out", b"")], snapshot=snapshot, reads=[b"a"])
    assert isinstance(result, FDBError)
    later = store.snapshot()
    assert later.version > version
    assert later.get(b"a") == b"1"
    assert store.snapshot(later.version).range(b"", END, 9, False) == [(b"a", b"1")]
    assert put(store, a=b"2") > later.version
    assert later.get(b"a") == b"1"


def test_every_version_of_the_window_can_be_had(store: SqliteStore, other: SqliteStore) -> None:
    """Random changes, and every version compared with a copy of what was there, page by page."""
    rng = random.Random(3)
    keys = [b"%02d" % number for number in range(20)]
    copies: dict[int, dict[bytes, bytes]] = {store.snapshot().version: {}}
    now: dict[bytes, bytes] = {}
    for step in range(60):
        mutations: list[Mutation] = []
        for _ in range(rng.randrange(1, 4)):
            key = rng.choice(keys)
            if rng.random() < 0.2:
                begin, end = sorted((key, rng.choice(keys)))
                mutations.append((CLEAR_RANGE, begin, end))
                now = {k: v for k, v in now.items() if not begin <= k < end}
            elif rng.random() < 0.3:
                mutations.append((ADD, key, b"\x01"))
                now[key] = bytes([(now.get(key, b"\x00")[0] + 1) % 256])
            else:
                mutations.append((SET, key, b"%c" % step))
                now[key] = b"%c" % step
        result = outcome(store if step % 2 else other, mutations)
        assert isinstance(result, Committed)
        copies[result.version] = dict(now)
    for version, copy in copies.items():
        for reader in (store, other):
            snapshot = reader.snapshot(version)
            rows = sorted(copy.items())
            limit = rng.randrange(1, 8)
            assert snapshot.range(b"", END, 100, False) == rows
            assert snapshot.range(b"", END, limit, False) == rows[:limit]
            assert snapshot.range(b"", END, limit, True) == rows[::-1][:limit]
            assert [snapshot.get(key) for key in keys] == [copy.get(key) for key in keys]


def test_a_superseded_version_is_readable_for_the_window(store: SqliteStore, clock: ManualClock) -> None:
    old = put(store, a=b"old")
    clock.now += 100
    put(store, a=b"new")
    clock.now += WINDOW_SECONDS - 0.001
    assert store.snapshot(old).get(b"a") == b"old"
    clock.now += 0.002
    assert refused(store, old) == 1007
    assert store.snapshot().get(b"a") == b"new"


def test_versions_of_a_busy_file_are_readable_for_the_window(
    store: SqliteStore, other: SqliteStore, clock: ManualClock
) -> None:
    """While history is deleted behind them, by whichever process commits."""
    written: list[tuple[float, int, bytes]] = []
    for number in range(100):
        value = b"%d" % number
        written.append((clock.now, put(store if number % 2 else other, a=value), value))
        clock.now += 0.2
        for at, version, old in written:
            superseded = at + 0.2 if version != written[-1][1] else clock.now
            if clock.now - superseded <= WINDOW_SECONDS - 0.01:
                assert store.snapshot(version).get(b"a") == old
                assert other.snapshot(version).range(b"", END, 9, False) == [(b"a", old)]


def test_a_snapshot_ends_with_the_window(store: SqliteStore, clock: ManualClock) -> None:
    put(store, a=b"1")
    snapshot = store.snapshot()
    clock.now += WINDOW_SECONDS
    assert snapshot.get(b"a") == b"1"
    clock.now += 0.001
    for read in (lambda: snapshot.get(b"a"), lambda: snapshot.range(b"", END, 1, False)):
        with pytest.raises(FDBError) as caught:
            read()
        assert caught.value.code == 1007
    result = outcome(store, [(SET, b"b", b"")], snapshot=snapshot, reads=[b"c"])
    assert isinstance(result, FDBError)
    assert result.code == 1007


def test_an_older_version_ends_when_it_was_replaced_so_long_ago(store: SqliteStore, clock: ManualClock) -> None:
    """Not when somebody asked for it: the history of it is deleted by then."""
    old = put(store, a=b"old")
    put(store, a=b"new")
    clock.now += WINDOW_SECONDS - 1
    snapshot = store.snapshot(old)
    assert snapshot.get(b"a") == b"old"
    clock.now += 2
    with pytest.raises(FDBError) as caught:
        snapshot.get(b"a")
    assert caught.value.code == 1007


def test_a_version_that_has_not_happened_is_refused(store: SqliteStore) -> None:
    put(store, a=b"1")
    newest = store.snapshot().version
    assert contents(store, newest) == {b"a": b"1"}
    assert refused(store, newest + 2) == 1009
    assert refused(store, 1) == 1007


def test_old_history_is_deleted(store: SqliteStore, path: Path, clock: ManualClock) -> None:
    for number in range(300):
        put(store, a=b"%d" % number)
        clock.now += 0.1
    connection = sqlite3.connect(path)
    (rows,) = connection.execute("SELECT count(*) FROM history").fetchone()
    connection.close()
    kept_seconds = WINDOW_SECONDS + 1.0  # the second is how often it is looked at
    assert rows <= kept_seconds / 0.1 + 2


def rows_of_history(path: Path) -> int:
    connection = sqlite3.connect(path)
    (rows,) = connection.execute("SELECT count(*) FROM history").fetchone()
    connection.close()
    return int(rows)


def test_processes_that_end_at_once_leave_no_history_behind(path: Path, clock: ManualClock) -> None:
    for number in range(30):
        store = open_store(path, clock)
        put(store, a=b"%d" % number)
        store.close()
        clock.now += 10.0
    assert rows_of_history(path) <= 2


@pytest.mark.parametrize("jumps", [(-3600.0,), (365 * 86400.0, -365 * 86400.0), (-10.0, -10.0, -10.0)])
def test_history_stays_short_when_the_clock_is_set_back(
    path: Path, clock: ManualClock, store: SqliteStore, other: SqliteStore, jumps: tuple[float, ...]
) -> None:
    """While versions go on, of both processes, and what is inside the window can be read and committed."""
    versions = [put(store, a=b"")]
    for jump in jumps:
        clock.now += jump
        versions.append(put(store, a=b""))
    for number in range(300):
        clock.now += 0.1
        versions.append(put(store if number % 2 else other, a=b"%d" % number))
    assert versions == sorted(set(versions))
    kept_seconds = WINDOW_SECONDS + 2.0  # looked at once a second, and what is noted then is as old as that
    assert rows_of_history(path) <= kept_seconds / 0.1 + 2
    for number in (300 - 49, 299):
        assert store.snapshot(versions[-300 + number]).get(b"a") == other.snapshot(versions[-300 + number]).get(b"a")
        assert store.snapshot(versions[-300 + number]).get(b"a") == b"%d" % number
    assert refused(store, versions[0]) == 1007
    late = store.snapshot(versions[-20])
    result = outcome(store, [(SET, b"out", b"")], snapshot=late, reads=[b"a"])
    assert isinstance(result, FDBError)
    assert result.code == 1020
    assert isinstance(outcome(store, [(SET, b"out", b"")], snapshot=late, reads=[b"b"]), Committed)


def test_who_has_read_what_is_forgotten_is_too_old_although_the_clock_was_set_back(
    store: SqliteStore, clock: ManualClock
) -> None:
    put(store, a=b"0")
    snapshot = store.snapshot()
    assert snapshot.get(b"a") == b"0"
    clock.now -= 3600
    for number in range(100):
        clock.now += 0.1
        put(store, a=b"%d" % number)
    result = outcome(store, [(SET, b"out", b"")], snapshot=snapshot, reads=[b"a"])
    assert isinstance(result, FDBError)
    assert result.code == 1007
    with pytest.raises(FDBError) as caught:
        snapshot.get(b"a")
    assert caught.value.code == 1007


@given(st.lists(st.tuples(st.sampled_from(["commit", "read", "back"]), st.integers(0, 3_000_000)), max_size=60))
def test_the_horizon_never_passes_what_a_reader_of_the_window_has_read(steps: list[tuple[str, int]]) -> None:
    now, horizon = 50_000_000, Horizon()
    versions = [now]
    readers: list[tuple[int, int]] = []
    for kind, by in steps:
        if kind == "back":
            now -= by * 4
            readers.clear()  # their time cannot be compared with what the clock says from here on
        else:
            now += by
        if kind == "read":
            readers.append((now, versions[-1]))
        if kind == "commit":
            begin = horizon.at(now, versions[-1])
            oldest = max([version for version in versions if version <= begin], default=0)
            assert all(version >= oldest for taken, version in readers if now - taken <= WINDOW_VERSIONS)
            versions.append(max(versions[-1] + 2, now))


def test_a_reader_that_slept_starts_over(store: SqliteStore, other: SqliteStore, clock: ManualClock) -> None:
    """What `other` once loaded ends long before what it needs now, and what lies between is deleted."""
    put(store, a=b"0")
    early = other.snapshot()
    assert early.get(b"a") == b"0"
    put(store, a=b"1")
    assert early.get(b"a") == b"0"
    for number in range(100):
        clock.now += 0.2
        put(store, a=b"%d" % number)
    late = other.snapshot()
    assert late.get(b"a") == b"99"
    put(store, a=b"new")
    assert late.get(b"a") == b"99"


def test_a_conflict_is_found_after_a_long_sleep(store: SqliteStore, other: SqliteStore, clock: ManualClock) -> None:
    put(other, z=b"")
    for number in range(100):
        clock.now += 0.2
        put(store, a=b"%d" % number)
    snapshot = other.snapshot()
    assert snapshot.get(b"a") == b"99"
    put(store, a=b"new")
    result = outcome(other, [(SET, b"out", b"")], snapshot=snapshot, reads=[b"a"])
    assert isinstance(result, FDBError)
    assert result.code == 1020


def test_what_is_too_large_to_remember_ends_older_versions(
    store: SqliteStore, other: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_batch, "UNDO_BYTES", 1000)
    outcome(store, [(SET, b"%03d" % number, b"v" * 100) for number in range(50)])
    snapshot = other.snapshot()
    assert snapshot.get(b"000") == b"v" * 100
    outcome(store, [(CLEAR_RANGE, b"", END)], write_ranges=[(b"", END)])
    with pytest.raises(FDBError) as caught:
        snapshot.get(b"000")
    assert caught.value.code == 1007
    assert contents(store) == contents(other) == {}


def test_versions_do_not_go_back_with_the_clock(path: Path, clock: ManualClock) -> None:
    store = open_store(path, clock)
    before = put(store, a=b"1")
    store.close()
    clock.now -= 3600
    store = open_store(path, clock)
    read = store.snapshot().version
    after = put(store, a=b"2")
    store.close()
    assert before == read < after


def test_the_contents_are_there_after_a_reopen(path: Path, clock: ManualClock) -> None:
    store = open_store(path, clock)
    version = put(store, a=b"1", b=b"2")
    put(store, a=b"3")
    store.close()
    assert [entry.name for entry in path.parent.iterdir()] == ["db.sqlite"]
    store = open_store(path, clock)
    assert contents(store) == {b"a": b"3", b"b": b"2"}
    assert contents(store, version) == {b"a": b"1", b"b": b"2"}
    store.close()


def test_versions_grow_by_a_million_a_second(store: SqliteStore, clock: ManualClock) -> None:
    first = put(store, a=b"1")
    clock.now += 2
    assert put(store, a=b"2") - first == pytest.approx(2_000_000, abs=10)


def test_a_process_that_has_not_seen_the_conflicts_of_a_version_cannot_commit_from_it(
    store: SqliteStore, path: Path, clock: ManualClock
) -> None:
    old = put(store, a=b"0")
    for number in range(100):
        clock.now += 0.2
        put(store, a=b"%d" % number)
    connection = sqlite3.connect(path)
    recent = RecentWrites(History(SummedRows(path)))
    recent.catch_up(connection, store.snapshot().version)
    connection.close()
    assert recent.check(old, [b"other"], []) == 1007
    assert recent.check(store.snapshot().version, [b"a"], []) == 0


def test_memory_holds_the_window_and_no_more(store: SqliteStore, path: Path, clock: ManualClock) -> None:
    """A process that reads and commits for long remembers no more keys than the window has seen."""
    connection = sqlite3.connect(path)
    history = History(SummedRows(path))
    old, recent = OldValues(history), RecentWrites(history)
    for number in range(400):
        clock.now += 0.1
        version = put(store, **{f"key{number}": b""})
        old.value(connection, b"key", version, None)
        recent.catch_up(connection, version)
        recent.forget(version - WINDOW_VERSIONS)
    connection.close()
    seconds_kept = WINDOW_SECONDS + 1.0
    assert 40 <= len(old) <= seconds_kept / 0.1 + 2
    # Conflicts are dropped a block at a time.
    assert 40 <= len(recent) <= 3 * seconds_kept / 0.1
