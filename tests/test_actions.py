"""The container of actions: bounded, ordered, and strict about ids."""

from __future__ import annotations

from typing import Any

import pytest

from phasm_fdb import Actions, DuplicateAction, Tracked, Untracked
from phasm_fdb.errors import ActionsFull, InputError


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


def test_an_id_is_there_once_and_its_type_counts() -> None:
    actions = Actions()
    for id in (1, True, 1.0, "1", b"1", (1,)):
        actions.add(Tracked(id, "x"))
    for id in (1, True, 1.0, "1", b"1", (1,)):
        with pytest.raises(DuplicateAction):
            actions.add(Tracked(id, "y"))
    assert len(actions) == 6


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
