"""The memory store: old versions, the window, order of versions, and threads."""

from __future__ import annotations

import random
import sys
import threading
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phasm_fdb.embedded import memory_store
from phasm_fdb.embedded.memory_store import MemoryStore
from phasm_fdb.embedded.mutation import ADD, CLEAR, CLEAR_RANGE, SET, Mutation
from phasm_fdb.embedded.store import CommitRequest, Committed, Snapshot
from phasm_fdb.errors import DatabaseError, FDBError
from tests.embedded.virtual_time import VirtualTime, code_of


def commit(
    store: MemoryStore, *mutations: Mutation, snapshot: Snapshot | None = None, reads: tuple[bytes, ...] = ()
) -> Committed:
    """Commit, and return where it stands; raises what the commit fails with."""
    outcomes: list[Committed | FDBError] = []
    keys = [key for code, key, _ in mutations if code != CLEAR_RANGE]
    ranges = [(key, end) for code, key, end in mutations if code == CLEAR_RANGE]
    store.commit(CommitRequest(snapshot, reads, (), keys, ranges, mutations), outcomes.append)
    (outcome,) = outcomes
    if isinstance(outcome, FDBError):
        raise outcome
    return outcome


def _random_mutations(rng: random.Random, model: dict[bytes, bytes]) -> list[Mutation]:
    mutations: list[Mutation] = []
    for _ in range(rng.randrange(1, 4)):
        key = b"%02d" % rng.randrange(20)
        kind = rng.random()
        if kind < 0.5:
            mutations.append((SET, key, b"%d" % rng.randrange(100)))
            model[key] = mutations[-1][2]
        elif kind < 0.7:
            mutations.append((CLEAR, key, b""))
            model.pop(key, None)
        elif kind < 0.85:
            mutations.append((ADD, key, b"\1"))
            model[key] = bytes((((model.get(key) or b"\0")[0] + 1) & 0xFF,))
        else:
            end = b"%02d" % rng.randrange(20)
            if key < end:
                mutations.append((CLEAR_RANGE, key, end))
                for gone in [k for k in model if key <= k < end]:
                    del model[gone]
    return mutations


@pytest.mark.parametrize("few", [4, 5_000])
@settings(max_examples=60)
@given(st.integers(0, 2**32))
def test_every_snapshot_of_the_window_sees_its_version(few: int, seed: int) -> None:
    """Whether a reader looks at the last changes for what was cleared, or at everything that was."""
    with mock.patch.object(memory_store, "_FEW_CHANGES", few):
        _check_snapshots(random.Random(seed), VirtualTime())


def _check_snapshots(rng: random.Random, time: VirtualTime) -> None:
    store = MemoryStore(time.clock)
    model: dict[bytes, bytes] = {}
    snapshots: list[tuple[float, Snapshot, dict[bytes, bytes]]] = []
    for _ in range(80):
        mutations = _random_mutations(rng, model)
        commit(store, *mutations)
        snapshots.append((time.now, store.snapshot(), dict(model)))
        time.advance(rng.choice([0, 0.01, 0.3]))
        taken, snapshot, expected = rng.choice(snapshots)
        if time.now - taken > 4.99:
            time.advance(0.02)
            assert code_of(lambda snapshot=snapshot: snapshot.get(b"00")) == 1007
            continue
        assert {key: value for key in map(b"%02d".__mod__, range(20)) if (value := snapshot.get(key))} == expected
        low, high = sorted(b"%02d" % rng.randrange(21) for _ in range(2))
        rows = sorted((key, value) for key, value in expected.items() if low <= key < high)
        limit = rng.randrange(1, 6)
        if low < high:
            assert snapshot.range(low, high, limit, False) == rows[:limit]
            assert snapshot.range(low, high, limit, True) == rows[::-1][:limit]


def test_old_changes_are_dropped_in_small_steps(time: VirtualTime) -> None:
    store = MemoryStore(time.clock)
    commit(store, *((SET, b"%04d" % number, b"v") for number in range(1000)))
    for number in range(1000):
        commit(store, (CLEAR, b"%04d" % number, b""))
    time.advance(6)
    for _ in range(100):
        commit(store, (SET, b"again", b""))
    assert len(store._changes) == 1
    assert list(store._keys) == [b"again"]
    assert not store._cleared, "keys that nobody can see any more are gone"


def test_a_reader_does_not_step_over_all_that_was_cleared_before(time: VirtualTime) -> None:
    """Or the head of a queue would be the slower to read, the more was taken out of it lately."""
    store = MemoryStore(time.clock)
    commit(store, *((SET, b"queue/%05d" % number, b"v") for number in range(5000)))
    for number in range(4990):
        commit(store, (CLEAR, b"queue/%05d" % number, b""))
    before = store.snapshot()
    commit(store, (CLEAR, b"queue/04990", b""))
    calls = 0

    def count(frame: object, event: str, argument: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    for snapshot, first in ((store.snapshot(), 4991), (before, 4990)):
        sys.setprofile(count)
        rows = snapshot.range(b"queue/", b"queue0", 2, False)
        sys.setprofile(None)
        assert [key for key, _ in rows] == [b"queue/%05d" % first, b"queue/%05d" % (first + 1)]
    assert calls < 1000


def test_a_key_that_every_commit_changes_keeps_no_more_than_twice_the_window(time: VirtualTime) -> None:
    store = MemoryStore(time.clock)
    most = 0
    for number in range(2000):
        commit(store, (SET, b"hot", b"%d" % number))
        time.advance(0.05)  # a hundred commits a window
        most = max(most, len(store._changes[b"hot"]))
    assert most <= 2 * 100 + 10
    assert store.snapshot().get(b"hot") == b"1999"


def test_versions_grow_with_every_commit_and_every_snapshot(time: VirtualTime) -> None:
    store = MemoryStore(time.clock)
    seen = []
    for step in range(50):
        seen.append(commit(store, (SET, b"k", b"")).version)
        snapshot = store.snapshot()
        assert snapshot.version >= seen[-1]
        time.advance(0.001 * (step % 3))
        seen.append(commit(store, (SET, b"k", b"")).version)
        assert seen[-1] > snapshot.version
    assert seen == sorted(set(seen))


def test_a_conflict_applies_nothing(time: VirtualTime) -> None:
    store = MemoryStore(time.clock)
    snapshot = store.snapshot()
    commit(store, (SET, b"read", b"changed"))
    assert code_of(lambda: commit(store, (SET, b"k", b"v"), snapshot=snapshot, reads=(b"read",))) == 1020
    assert store.snapshot().get(b"k") is None


def test_the_size_of_a_large_range_is_near(time: VirtualTime) -> None:
    store = MemoryStore(time.clock)
    commit(store, *((SET, b"%06d" % number, b"v" * (number % 100)) for number in range(20_000)))
    exact = sum(6 + number % 100 for number in range(20_000))
    assert store.snapshot().size(b"", b"\xff") == pytest.approx(exact, rel=0.1)
    assert store.snapshot().size(b"000010", b"000020") == sum(6 + number for number in range(10, 20))
    assert store.snapshot().size(b"x", b"y") == 0


def test_a_closed_store_says_so(time: VirtualTime) -> None:
    store = MemoryStore(time.clock)
    told: list[FDBError | None] = []
    store.watch(b"k", None, told.append)
    store.close()
    assert [error.code for error in told if error] == [1025]
    with pytest.raises(DatabaseError, match="closed"):
        store.snapshot()


def test_threads_that_count_lose_nothing() -> None:
    from phasm_fdb.embedded import open_memory

    db = open_memory(sleep=lambda _: None)
    writers, times = 4, 150

    def work() -> None:
        for _ in range(times):
            tr = db.create_transaction()
            while True:
                try:
                    value = int.from_bytes(tr.get(b"n").value or b"", "big")
                    rows = tr.get_range(b"log/", b"log0").to_list()
                    assert len(rows) <= value
                    tr.set(b"n", (value + 1).to_bytes(8, "big"))
                    tr.set(b"log/%d" % (value % 10), b"")
                    tr.commit().wait()
                    break
                except FDBError as error:
                    tr.on_error(error).wait()

    threads = [threading.Thread(target=work) for _ in range(writers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert int.from_bytes(db[b"n"], "big") == writers * times
