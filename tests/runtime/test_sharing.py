from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from phasm_fdb.lease import Lease
from phasm_fdb.runtime.membership import Survey
from phasm_fdb.runtime.sharing import plan, share

sessions = st.lists(st.binary(min_size=1, max_size=4), min_size=1, max_size=12, unique=True)


@given(st.integers(1, 200), sessions)
def test_shares_add_up_and_differ_by_one_at_most(lanes: int, all_: list[bytes]) -> None:
    shares = [share(lanes, all_, one) for one in all_]
    assert sum(shares) == lanes
    assert max(shares) - min(shares) <= 1


@given(st.integers(1, 40), sessions, st.randoms(use_true_random=False))
def test_from_any_holding_all_lanes_are_shared_within_a_few_rounds(
    lanes: int, all_: list[bytes], chance: object
) -> None:
    owner: dict[int, bytes | None] = {
        lane: chance.choice([None, b"dead", *all_])  # type: ignore[attr-defined]
        for lane in range(lanes)
    }
    for _ in range(3):
        for session in all_:
            survey = _survey(owner, all_, lanes)
            held = {lane for lane, who in owner.items() if who == session}
            todo = plan(survey, session, held)
            assert not todo.claim or not todo.surplus
            for lane in todo.claim:
                assert owner[lane] not in all_, "only free lanes are claimed"
                owner[lane] = session
            for lane in sorted(held)[: todo.surplus]:
                owner[lane] = None
    counts = [sum(who == session for who in owner.values()) for session in all_]
    assert sum(counts) == lanes
    assert max(counts) - min(counts) <= 1


def test_a_lane_that_was_given_is_taken_beyond_the_share() -> None:
    survey = Survey(2, {b"a": b"", b"b": b""}, {0: Lease(0, 1, b"a"), 1: Lease(1, 5, b"a")}, False)
    assert plan(survey, b"a", {0}).claim == (1,)


def test_while_resizing_everything_is_given_back_and_nothing_claimed() -> None:
    survey = Survey(4, {b"a": b""}, {0: Lease(0, 1, b"a")}, True)
    todo = plan(survey, b"a", {0})
    assert (todo.claim, todo.surplus) == ((), 1)


def test_workers_start_looking_at_different_lanes() -> None:
    everyone = [b"a", b"b", b"c", b"d"]
    survey = _survey(dict.fromkeys(range(8)), everyone, 8)
    claims = [plan(survey, session, set()).claim for session in everyone]
    assert sorted(lane for claim in claims for lane in claim) == list(range(8))


def _survey(owner: dict[int, bytes | None], everyone: list[bytes], lanes: int) -> Survey:
    leases = {lane: Lease(lane, 1, who) for lane, who in owner.items() if who is not None}
    return Survey(lanes, dict.fromkeys(everyone, b""), leases, False)
