"""The container of actions: bounded, ordered, and strict about ids."""

from __future__ import annotations

import math
from contextlib import nullcontext
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phasm_fdb import Actions, DuplicateAction, Tracked, Untracked
from phasm_fdb.errors import ActionsFull, InputError
from phasm_fdb.keys import pack_element


def test_it_keeps_what_was_added_in_order() -> None:
    actions = Actions()
    added: list[Any] = [Untracked("a"), Tracked(1, "b"), Tracked("1", "c"), Untracked("a")]
    for action in added:
        actions.add(action)
    assert list(actions) == added
    assert len(actions) == 4
    assert actions.tracked == (Tracked(1, "b"), Tracked("1", "c"))
    assert actions.untracked == (Untracked("a"), Untracked("a"))


def test_it_takes_so_many_and_no_more() -> None:
    actions = Actions.with_capacity(2)
    actions.add(Untracked(1))
    actions.add(Untracked(2))
    with pytest.raises(ActionsFull, match="at most 2 actions"):
        actions.add(Untracked(3))
    actions.clear()
    actions.add(Untracked(3))
    assert list(actions) == [Untracked(3)]
    with pytest.raises(ActionsFull):
        Actions.with_capacity(0).add(Untracked(1))
    with pytest.raises(ValueError, match="capacity is -1"):
        Actions.with_capacity(-1)


IDS = (1, True, 1.0, 0.0, -0.0, float("nan"), "1", b"1", (1,), (True,), (1.0,), ((1,),), ((True,),), None)


def test_an_id_is_there_once_and_its_type_counts() -> None:
    actions = Actions()
    for id in IDS:
        actions.add(Tracked(id, "x"))
    for id in IDS:
        with pytest.raises(DuplicateAction):
            actions.add(Tracked(id, "y"))
    assert len(actions) == len(IDS)


ids = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | st.floats(width=16) | st.sampled_from(["", "1", b"", b"1"]),
    lambda inner: st.lists(inner, max_size=2).map(tuple),
    max_leaves=3,
)


@given(st.lists(ids, max_size=8))
def test_two_ids_are_one_exactly_where_they_are_one_key(emitted: list[Any]) -> None:
    actions = Actions()
    kept: dict[bytes, Any] = {}
    for id in emitted:
        packed = pack_element(id)
        with pytest.raises(DuplicateAction) if packed in kept else nullcontext():
            actions.add(Tracked(id, "x"))
        kept.setdefault(packed, id)
    assert [pack_element(action.id) for action in actions.tracked] == list(kept)
    for id in emitted[::2]:
        actions.cancel(id)
        kept.pop(pack_element(id), None)
    assert [pack_element(action.id) for action in actions.tracked] == list(kept)


def test_cancelling_takes_back_what_was_added_and_notes_the_rest() -> None:
    actions = Actions()
    actions.add(Tracked(1, "x"))
    actions.cancel(1)
    actions.cancel(2)
    actions.add(Tracked(1, "again"))
    assert actions.tracked == (Tracked(1, "again"),)
    assert actions.cancelled == (2,)
    actions.clear()
    assert actions.cancelled == ()


@pytest.mark.parametrize("wrong", ["charge", None, 5])
def test_what_is_no_action_is_named(wrong: Any) -> None:
    with pytest.raises(InputError, match="wrap it in Tracked"):
        Actions().add(wrong)


def test_new_ids_belong_to_a_transition() -> None:
    numbers = iter([7, 8])
    actions = Actions(next_user_version=lambda: next(numbers))
    assert [actions.new_id().user_version, actions.new_id().user_version] == [7, 8]
    with pytest.raises(InputError, match="in `stf` alone"):
        Actions().new_id()


class Milliseconds(int):
    """As numpy's integers are: like an int, and none."""


class Seconds(float):
    """As numpy's floats are: like a float, and stored as something else."""


def nested(depth: int) -> Any:
    """A tuple in so many tuples."""
    return () if depth == 0 else (nested(depth - 1),)


class Loud:
    def __repr__(self) -> str:
        raise RuntimeError("no")


#: None of these is a time in milliseconds.
NO_TIMES = [1.5e12, math.nan, math.inf, True, "5", -1, 2**53, Milliseconds(5), 10**5000, [], Loud()]


@pytest.mark.parametrize("at", NO_TIMES, ids=lambda one: type(one).__name__)
def test_a_time_is_integer_milliseconds(at: Any) -> None:
    actions = Actions()
    with pytest.raises(InputError, match=r"at is .* integer milliseconds"):
        actions.add(Tracked(1, "x", at=at))
    with pytest.raises(InputError, match=r"at is .* integer milliseconds"):
        actions.later(1, "x", at=at)
    assert actions.is_empty


@pytest.mark.parametrize(
    "after",
    [math.nan, math.inf, -math.inf, True, "5", -0.1, 2**40, Seconds(5), 10**5000, Loud()],
    ids=lambda one: type(one).__name__,
)
def test_a_delay_is_a_number_of_seconds(after: Any) -> None:
    actions = Actions()
    with pytest.raises(InputError, match=r"after is .* number of seconds"):
        actions.add(Tracked(1, "x", after=after))
    with pytest.raises(InputError, match=r"after is .* number of seconds"):
        actions.later(1, "x", after=after)
    assert actions.is_empty


@pytest.mark.parametrize(
    "id",
    [[], {}, object(), Loud(), "\ud800", 2**2041, Milliseconds(5), nested(101)],
    ids=lambda one: type(one).__name__,
)
def test_an_id_is_a_key(id: Any) -> None:
    actions = Actions()
    for use in (lambda: actions.add(Tracked(id, "x")), lambda: actions.cancel(id), lambda: actions.later(id, 1, at=1)):
        with pytest.raises(InputError, match=r"the id of an action: .* cannot be a key"):
            use()
    assert actions.is_empty
