"""ConflictHistory against a plain list of what each commit wrote, and how much work a question is."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phasm_fdb.embedded import conflicts
from phasm_fdb.embedded.conflicts import ConflictHistory

Commit = tuple[list[bytes], list[tuple[bytes, bytes]]]


def _naive(history: list[tuple[int, Commit]], since: int, begin: bytes, end: bytes) -> bool:
    return any(
        version > since
        and (any(begin <= key < end for key in keys) or any(low < end and begin < high for low, high in ranges))
        for version, (keys, ranges) in history
    )


def _random_commit(rng: random.Random, keys: int) -> Commit:
    span = sorted(b"%05d" % rng.randrange(keys) for _ in range(2))
    ranges = [(span[0], span[1])] if rng.random() < 0.02 and span[0] < span[1] else []
    return [b"%05d" % rng.randrange(keys) for _ in range(rng.randrange(1, 6))], ranges


@given(st.integers(0, 2**32), st.sampled_from([50, 5000]))
def test_it_answers_as_a_list_does(seed: int, keys: int) -> None:
    rng = random.Random(seed)
    history, commits = ConflictHistory(), []
    oldest = 0
    for version in range(1, 600):
        commit = _random_commit(rng, keys)
        history.add(version, *commit)
        commits.append((version, commit))
        if rng.random() < 0.05:
            oldest = max(oldest, version - rng.randrange(50, 400))
            history.forget(oldest)
        if rng.random() < 0.3:
            since = rng.randrange(oldest, version + 1)
            begin = b"%05d" % rng.randrange(keys)
            end = b"%05d" % (int(begin) + rng.choice([1, 10, 1000]))
            assert history.conflicts(since, [], [(begin, end)]) == _naive(commits, since, begin, end)
            assert history.conflicts(since, [begin], []) == _naive(commits, since, begin, begin + b"\0")


def test_what_is_forgotten_is_gone() -> None:
    history = ConflictHistory()
    for version in range(1, 10_001):
        history.add(version, [b"%05d" % version], [])
    assert len(history) == 10_000
    history.forget(9_000)
    assert 1_000 <= len(history) < 1_200, "a block at a time"
    assert not history.conflicts(9_000, [], [(b"00000", b"09000")])
    assert history.conflicts(9_000, [], [(b"09000", b"09002")])


@pytest.mark.parametrize("writes", [1_000, 10_000, 100_000])
def test_a_range_needs_few_searches(monkeypatch: pytest.MonkeyPatch, writes: int) -> None:
    history = ConflictHistory()
    for version in range(writes):
        history.add(version, [b"%06d" % (version * 7919 % writes)], [])
    searches = 0
    meets = conflicts._Block.meets

    def counted(self: conflicts._Block, begin: bytes, end: bytes) -> bool:
        nonlocal searches
        searches += 1
        return meets(self, begin, end)

    monkeypatch.setattr(conflicts._Block, "meets", counted)
    for since in range(0, writes, writes // 50):
        searches = 0
        history.conflicts(since, [], [(b"x", b"y")])
        assert searches <= 8 * len(f"{writes:b}")
