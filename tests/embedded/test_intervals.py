"""IntervalSet against a plain set of the keys that it holds."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from phasm_fdb.embedded.intervals import IntervalSet

KEYS = [bytes((number,)) for number in range(12)]
spans = st.tuples(st.sampled_from(KEYS), st.sampled_from(KEYS))
changes = st.lists(st.tuples(st.sampled_from(["add", "remove"]), spans), max_size=20)


def _build(steps: list[tuple[str, tuple[bytes, bytes]]]) -> tuple[IntervalSet, set[bytes]]:
    intervals, keys = IntervalSet(), set()
    for change, (begin, end) in steps:
        getattr(intervals, change)(begin, end)
        span = {key for key in KEYS if begin <= key < end}
        keys = keys | span if change == "add" else keys - span
    return intervals, keys


@given(changes)
def test_it_holds_what_was_added_and_not_removed(steps: list[tuple[str, tuple[bytes, bytes]]]) -> None:
    intervals, keys = _build(steps)
    assert {key for key in KEYS if key in intervals} == keys
    assert bool(intervals) == bool(keys)


@given(changes)
def test_its_intervals_are_sorted_and_do_not_touch(steps: list[tuple[str, tuple[bytes, bytes]]]) -> None:
    intervals, _ = _build(steps)
    edges = [edge for interval in intervals for edge in interval]
    assert edges == sorted(set(edges))
    assert len(edges) == 2 * len(intervals)


@given(changes, spans)
def test_parts_and_gaps_of_a_span(steps: list[tuple[str, tuple[bytes, bytes]]], span: tuple[bytes, bytes]) -> None:
    intervals, keys = _build(steps)
    begin, end = span
    inside = {key for key in KEYS for low, high in intervals.within(begin, end) if low <= key < high}
    outside = {key for key in KEYS for low, high in intervals.gaps(begin, end) if low <= key < high}
    spanned = {key for key in KEYS if begin <= key < end}
    assert inside == spanned & keys
    assert outside == spanned - keys
    if begin < end:
        assert intervals.intersects(begin, end) == bool(spanned & keys)


@given(changes, st.sampled_from(KEYS))
def test_the_nearest_edges(steps: list[tuple[str, tuple[bytes, bytes]]], key: bytes) -> None:
    intervals, _ = _build(steps)
    edges = [edge for interval in intervals for edge in interval]
    assert intervals.edge_at_or_below(key) == max([e for e in edges if e <= key], default=b"")
    assert intervals.edge_below(key) == max([e for e in edges if e < key], default=b"")
    assert intervals.edge_above(key, b"\xff") == min([e for e in edges if e > key], default=b"\xff")
