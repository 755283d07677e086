"""Whatever is passed at whatever door: it is taken, or it is a PhasmError and nothing is written."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

import phasm_fdb
from phasm_fdb import (
    Counter,
    Index,
    Layer,
    Log,
    Map,
    Normal,
    PhasmError,
    State,
    StateMachine,
    Subspace,
    Tracked,
    TrackedActionCompleted,
    Untracked,
    Value,
)
from tests.hostile import anything, odd_ones
from tests.machines import Status
from tests.reading import everything

SPACE = Subspace(("doors",))


@dataclass(frozen=True)
class Ask:
    """What the machine is to do, and where: only `apply` looks at it, in memory."""

    what: str
    any: Any = None
    number: float = 0.0
    word: Literal["a", "b"] = "a"
    status: Status = Status.PAID
    counts: dict[str, int] | None = None


@dataclass(frozen=True)
class Act:
    value: Any = None


class DoorsState(State):
    by_any = Map(Any, Any)
    by_number = Map(float, str)
    by_pair = Map(tuple[int, str], int)
    by_text = Map(str, float)
    by_length = Index(by_text, float, lambda value: value)
    value = Value(int, 0)
    asked = Value(Ask | None)
    count = Counter()
    log = Log(Any)


#: What a machine can do wrong with a value.
USES: dict[str, Callable[[Any, Any, Any], Any]] = {
    "reply": lambda state, actions, one: one,
    "any key": lambda state, actions, one: state.by_any.__setitem__(one, 1),
    "any value": lambda state, actions, one: state.by_any.__setitem__(1, one),
    "number key": lambda state, actions, one: state.by_number.__setitem__(one, "x"),
    "pair key": lambda state, actions, one: state.by_pair.__setitem__(one, 1),
    "pair part": lambda state, actions, one: state.by_pair.__setitem__((1, one), 1),
    "indexed": lambda state, actions, one: state.by_text.__setitem__("x", one),
    "index key": lambda state, actions, one: list(state.by_length.keys(one)),
    "index span": lambda state, actions, one: list(state.by_length.entries(one, one)),
    "get": lambda state, actions, one: state.by_text.get(one) and None,
    "get many": lambda state, actions, one: state.by_any.get_many([one, 1]) and None,
    "in": lambda state, actions, one: one in state.by_pair,
    "discard": lambda state, actions, one: state.by_any.discard(one),
    "items": lambda state, actions, one: list(state.by_any.items(start=one)) and None,
    "prefix": lambda state, actions, one: list(state.by_pair.keys(prefix=one)),
    "text prefix": lambda state, actions, one: state.by_text.clear(prefix=one),
    "value": lambda state, actions, one: state.value.set(one),
    "asked": lambda state, actions, one: state.asked.set(one),
    "asked part": lambda state, actions, one: state.asked.set(Ask("x", number=one)),
    "counter add": lambda state, actions, one: state.count.add(one),
    "counter set": lambda state, actions, one: state.count.set(one),
    "log": lambda state, actions, one: state.log.append(one),
    "log after": lambda state, actions, one: list(state.log.items(after=one)),
    "action": lambda state, actions, one: actions.add(one),
    "tracked": lambda state, actions, one: actions.add(Tracked(1, one)),
    "tracked value": lambda state, actions, one: actions.add(Tracked(1, Act(one))),
    "untracked": lambda state, actions, one: actions.add(Untracked(one)),
    "id": lambda state, actions, one: actions.add(Tracked(one, Act())),
    "ordering key": lambda state, actions, one: actions.add(Tracked(1, Act(), ordering_key=one)),
    "after": lambda state, actions, one: actions.add(Tracked(1, Act(), after=one)),
    "at": lambda state, actions, one: actions.add(Tracked(1, Act(), at=one)),
    "cancel": lambda state, actions, one: actions.cancel(one),
    "later": lambda state, actions, one: actions.later(1, one, after=1),
    "later id": lambda state, actions, one: actions.later(one, Ask("reply"), after=1),
    "later after": lambda state, actions, one: actions.later(1, Ask("reply"), after=one),
    "later at": lambda state, actions, one: actions.later(1, Ask("reply"), at=one),
    "later key": lambda state, actions, one: actions.later(1, Ask("reply"), at=1, ordering_key=one),
}


class Doors(StateMachine):
    State = DoorsState
    Input = Ask
    TrackedAction = TrackedResult = UntrackedAction = Act

    #: What the machine does its worst with: it has it from nowhere, so that any object can be it.
    one: Any = None

    def stf(self, state: Any, input: Any, actions: Any) -> Any:
        if isinstance(input, TrackedActionCompleted):
            return input.result.value
        state.count.add(1)
        return USES[input.payload.what](state, actions, self.one)

    def check_invariants(self, state: Any) -> None:
        pass


async def _called(layer: Layer, db: Any, payload: Any, **more: Any) -> None:
    with pytest.raises(TimeoutError):  # nobody applies it
        await layer.call(db, payload, timeout=0, **more)


#: Where a value comes in from outside.
DOORS: dict[str, Callable[[Layer, Any, Any], Any]] = {
    "apply": lambda layer, db, one: layer.apply(db, one),
    "apply in Normal": lambda layer, db, one: layer.apply(db, Normal(one)),
    "apply at": lambda layer, db, one: layer.apply(db, Normal(Ask("reply"), at=one)),
    "apply any": lambda layer, db, one: layer.apply(db, Ask("reply", any=one)),
    "apply number": lambda layer, db, one: layer.apply(db, Ask("reply", number=one)),
    "apply word": lambda layer, db, one: layer.apply(db, Ask("reply", word=one)),
    "apply enum": lambda layer, db, one: layer.apply(db, Ask("reply", status=one)),
    "apply dict": lambda layer, db, one: layer.apply(db, Ask("reply", counts=one)),
    "apply request id": lambda layer, db, one: layer.apply(db, Ask("reply"), request_id=one),
    "apply completed": lambda layer, db, one: layer.apply(db, TrackedActionCompleted(one, Act())),
    "submit": lambda layer, db, one: layer.submit(db, one),
    "submit any": lambda layer, db, one: layer.submit(db, Ask("reply", any=one)),
    "submit at": lambda layer, db, one: layer.submit(db, Normal(Ask("reply"), at=one)),
    "submit request id": lambda layer, db, one: layer.submit(db, Ask("reply"), request_id=one),
    "submit ordering key": lambda layer, db, one: layer.submit(db, Ask("reply"), ordering_key=one),
    "call": lambda layer, db, one: asyncio.run(_called(layer, db, one)),
    "call any": lambda layer, db, one: asyncio.run(_called(layer, db, Ask("reply", any=one))),
    "call request id": lambda layer, db, one: asyncio.run(_called(layer, db, Ask("reply"), request_id=one)),
    "call ordering key": lambda layer, db, one: asyncio.run(_called(layer, db, Ask("reply"), ordering_key=one)),
    "complete": lambda layer, db, one: layer.complete(db, 7, one),
    "complete any": lambda layer, db, one: layer.complete(db, 7, Act(one)),
    "complete id": lambda layer, db, one: layer.complete(db, one, Act()),
    "requeue": lambda layer, db, one: layer.requeue(db, one),
    "discard": lambda layer, db, one: layer.discard(db, one),
}


def _layers(one: Any) -> list[Layer]:
    machine = Doors()
    machine.one = one
    settings: list[dict[str, Any]] = [{}, {"journal": True}, {"verify": 1.0}, {"checked": True}, {"cache": 10}]
    return [Layer(machine, SPACE, token_bytes=bytes, clock=lambda: 1e9, **more) for more in settings]


def _is_taken_or_leaves_nothing(layer: Layer, act: Callable[[Any], Any]) -> None:
    """Act on a database that has a pending action 7: a PhasmError is fine, but only if nothing is written."""
    db = phasm_fdb.open("memory:")
    layer.machine.one, one = Tracked(7, Act()), layer.machine.one  # type: ignore[attr-defined]
    layer.apply(db, Ask("action"))
    layer.machine.one = one  # type: ignore[attr-defined]
    before = everything(db, SPACE)
    try:
        act(db)
    except PhasmError:
        assert everything(db, SPACE) == before
    # And whatever there is now is read.
    list(layer.pending(db))
    list(layer.view(db).by_any.items())
    list(layer.view(db).log.items())
    list(layer.view(db).by_length.entries())


@given(st.sampled_from(list(DOORS)), st.integers(0, 4), anything)
def test_at_every_door_whatever_comes_is_taken_or_named(door: str, kind: int, one: Any) -> None:
    layer = _layers(None)[kind]
    _is_taken_or_leaves_nothing(layer, lambda db: DOORS[door](layer, db, one))


@given(st.sampled_from(list(USES)), st.integers(0, 4), anything)
def test_whatever_a_machine_does_with_whatever_is_taken_or_named(use: str, kind: int, one: Any) -> None:
    layer = _layers(one)[kind]
    _is_taken_or_leaves_nothing(layer, lambda db: layer.apply(db, Ask(use), request_id="r"))


@pytest.mark.parametrize("door", DOORS)
def test_each_odd_one_at_each_door(door: str) -> None:
    for number, one in enumerate(odd_ones):
        layer = _layers(None)[number % 5]
        _is_taken_or_leaves_nothing(layer, lambda db, one=one, layer=layer: DOORS[door](layer, db, one))  # type: ignore[misc]


@pytest.mark.parametrize("use", USES)
def test_each_odd_one_in_each_use(use: str) -> None:
    for number, one in enumerate(odd_ones):
        layer = _layers(one)[number % 5]
        _is_taken_or_leaves_nothing(layer, lambda db, layer=layer: layer.apply(db, Ask(use), request_id="r"))  # type: ignore[misc]
