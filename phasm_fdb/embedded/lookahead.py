"""How far ahead one read of the store goes: past what is known, as long as that is only single cleared keys.

FoundationDB's client decides so (skipUncached and countUncached in fdbclient/ReadYourWrites). How much it
reads beyond the asked rows is seen later, in what the transaction knows.
"""

from __future__ import annotations

from phasm_fdb.embedded.selector import END, key_after
from phasm_fdb.embedded.view import Kind, Segment, View


def _blocks(segment: Segment) -> bool:
    return segment.unreadable or segment.kind is Kind.EMPTY


def _unknown(segment: Segment) -> bool:
    return not segment.unreadable and segment.kind is Kind.UNKNOWN


def skip_forward(view: View, segment: Segment, last: Segment, limit: int) -> tuple[Segment, int]:
    """The unknown segment from which on something longer than one cleared key is known, `last` at the
    furthest.

    Args:
        segment: an unknown segment, where to start.
        limit: how many segments to go at most.

    Returns:
        The segment, and how many single cleared keys were passed.
    """
    begin, passed = segment.begin, 0
    while segment.begin != last.begin and limit > 0:
        limit -= 1
        if _blocks(segment):
            if segment.unreadable or segment.end != key_after(begin):
                break
            passed += 1
        else:
            begin = segment.end
        segment = view.segment(segment.end)
    while not _unknown(segment):
        segment = view.segment_before(segment.begin)
    return segment, passed


def skip_backward(view: View, segment: Segment, last: Segment, limit: int) -> tuple[Segment, int]:
    """`skip_forward`, towards smaller keys."""
    end, passed = segment.end, 0
    while segment.begin != last.begin and limit > 0:
        limit -= 1
        if _blocks(segment):
            if segment.unreadable or end != key_after(segment.begin):
                break
            passed += 1
        else:
            end = segment.begin
        segment = view.segment_before(segment.begin)
    while not _unknown(segment):
        segment = view.segment(segment.end)
    return segment, passed


def count_forward(view: View, segment: Segment, most: int) -> int:
    """How many single cleared keys come before the next longer known stretch; `most` at the most."""
    if most <= 0:
        return 0
    begin, passed = segment.begin, 0
    while segment.end < END and passed < most:
        if _blocks(segment):
            if segment.unreadable or segment.end != key_after(begin):
                break
            passed += 1
        else:
            begin = segment.end
        segment = view.segment(segment.end)
    return passed


def count_backward(view: View, segment: Segment, most: int) -> int:
    """`count_forward`, towards smaller keys."""
    if most <= 0:
        return 0
    end, passed = segment.end, 0
    while segment.begin > b"" and passed < most:
        if _blocks(segment):
            if segment.unreadable or end != key_after(segment.begin):
                break
            passed += 1
        else:
            end = segment.begin
        segment = view.segment_before(segment.begin)
    return passed
