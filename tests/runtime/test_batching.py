from __future__ import annotations

from phasm_fdb.runtime.batching import BatchSize


def test_it_doubles_while_full_batches_go_through_at_once() -> None:
    size = BatchSize(100)
    seen = []
    for _ in range(5):
        seen.append(size.now)
        size.went_through(size.now, attempts=1)
    assert seen == [16, 32, 64, 100, 100]


def test_it_stays_while_batches_are_not_full() -> None:
    size = BatchSize(100)
    size.went_through(3, attempts=1)
    assert size.now == 16


def test_it_halves_on_conflicts_and_on_failures_down_to_one() -> None:
    size = BatchSize(100)
    size.went_through(16, attempts=2)
    assert size.now == 8
    assert [size.failed() for _ in range(4)] == [True, True, True, False]
    assert size.now == 1
