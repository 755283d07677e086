"""The counter: one more each time, until 64 bits are full."""

from __future__ import annotations

from typing import Any

import pytest

from layers.counter import MAXIMUM, Counter, CounterState, Increment, Incremented, Overflowed
from phasm_fdb import Layer, Subspace, Untracked


@pytest.fixture
def counter(subspace: Subspace) -> Layer:
    return Layer(Counter(), subspace, checked=True)


def at_maximum(db: Any, counter: Layer, subspace: Subspace) -> None:
    """Put the number at its maximum, which no test can count up to."""
    counter.apply(db, Increment())
    tr = db.create_transaction()
    state: Any = CounterState.over(tr, subspace)
    state.value.set(MAXIMUM)
    state.flush(tr)
    tr.commit().wait()


def test_it_counts_and_says_so(db: Any, counter: Layer) -> None:
    for before in range(3):
        applied = counter.apply(db, Increment())
        assert applied.reply == before + 1
        assert applied.untracked == (Untracked(Incremented(before, before + 1)),)
        assert applied.tracked == ()
    assert counter.view(db).value.get() == 3


def test_overflow_is_refused_and_changes_nothing(db: Any, counter: Layer, subspace: Subspace) -> None:
    at_maximum(db, counter, subspace)
    with pytest.raises(Overflowed, match=str(MAXIMUM)):
        counter.apply(db, Increment(), request_id="one too many")
    assert counter.view(db).value.get() == MAXIMUM


def test_a_repeated_request_counts_once(db: Any, counter: Layer) -> None:
    assert [counter.apply(db, Increment(), request_id="r").reply for _ in range(3)] == [1, 1, 1]
    assert counter.view(db).value.get() == 1


def test_there_is_nothing_to_restore(db: Any, counter: Layer) -> None:
    counter.apply(db, Increment())
    assert list(counter.restore(db)) == []
