"""A machine that changes its input in place changes nothing for anybody else: not for a retry, nor for the caller."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Literal, NewType
from uuid import UUID

import pytest

from phasm_fdb import Layer, Map, Normal, State, StateMachine, Subspace, Tracked, TrackedActionCompleted
from phasm_fdb.database.transactional import run
from phasm_fdb.storable import is_frozen

SPACE = Subspace(("basket",))


@dataclass
class Fill:
    """Input: put the goods into a basket."""

    basket: str
    goods: list[str]


@dataclass(frozen=True)
class Fetch:
    """Tracked: bring the basket."""

    basket: str


@dataclass(frozen=True)
class Brought:
    """Result: what there was."""

    goods: list[str] = field(default_factory=list)


class BasketState(State):
    goods = Map(str, list[str])


class Basket(StateMachine):
    """Empties the lists that it is given while it reads them."""

    State = BasketState
    Input = Fill
    TrackedAction = Fetch
    TrackedResult = Brought
    attempts = 0

    def stf(self, state: BasketState, input: Any, actions: Any) -> Any:
        self.attempts += 1
        match input:
            case Normal(Fill(basket, goods)):
                state.goods[basket] = [*state.goods.get(basket, []), *self.taken(goods)]
                actions.add(Tracked(basket, Fetch(basket)))
            case TrackedActionCompleted(str(basket), Brought(goods)):
                state.goods[basket] = self.taken(goods)
        return None

    @staticmethod
    def taken(goods: list[str]) -> list[str]:
        return [goods.pop(0) for _ in range(len(goods))]


class Refusing:
    """A database that refuses the first commit of writes with a conflict, since somebody else writes the key.

    A layer's first transaction may be one that only asks for the version, and commits all the same.
    """

    def __init__(self, db: Any, key: bytes) -> None:
        self.db, self.key, self.due = db, key, 2

    def create_transaction(self) -> Any:
        tr = self.db.create_transaction()
        if self.due:
            self.due -= 1
            tr.add_read_conflict_key(self.key)
            tr.get_read_version().wait()
            self.db[self.key] = b"somebody else"
        return tr


@pytest.fixture
def machine() -> Basket:
    return Basket()


@pytest.fixture
def layer(machine: Basket) -> Layer:
    return Layer(machine, SPACE)


@pytest.mark.parametrize("request_id", [None, "r"])
def test_a_retry_has_the_input_as_it_was(memory: Any, layer: Layer, machine: Basket, request_id: Any) -> None:
    wish = Fill("b", ["bread", "milk"])
    layer.apply(Refusing(memory, b"other"), wish, request_id)
    assert machine.attempts == 2
    assert layer.view(memory).goods["b"] == ["bread", "milk"]
    assert wish == Fill("b", ["bread", "milk"])


def test_so_has_a_transaction_of_the_callers(memory: Any, layer: Layer, machine: Basket) -> None:
    wish = Fill("b", ["bread"])
    run(Refusing(memory, b"other"), lambda tr: layer.apply(tr, wish))
    assert machine.attempts == 2
    assert layer.view(memory).goods["b"] == ["bread"]


def test_so_has_the_retry_of_a_completion(memory: Any, layer: Layer, machine: Basket) -> None:
    layer.apply(memory, Fill("b", []))
    result = Brought(["eggs"])
    layer.complete(Refusing(memory, b"other"), "b", result)
    assert machine.attempts == 3
    assert layer.view(memory).goods["b"] == ["eggs"]
    assert result == Brought(["eggs"])


def test_and_the_second_run_of_a_verified_one(memory: Any, machine: Basket) -> None:
    layer = Layer(machine, SPACE, verify=1.0)
    layer.apply(memory, Fill("b", ["bread"]))
    assert machine.attempts == 2
    assert layer.view(memory).goods["b"] == ["bread"]


class Colour(Enum):
    RED = 1


@dataclass(frozen=True)
class Leaf:
    name: str
    under: Leaf | None = None


@dataclass(frozen=True)
class Twig:
    leaves: tuple[Leaf, ...]
    colour: Colour = Colour.RED


@dataclass(frozen=True)
class Holder:
    """Frozen, and what it holds is not."""

    leaves: list[Leaf]


@pytest.mark.parametrize(
    ("type_", "frozen"),
    [
        (int, True),
        (bytes, True),
        (None, True),
        (UUID, True),
        (Colour, True),
        (Literal["a", 1], True),
        (NewType("Cents", int), True),
        (tuple[int, str], True),
        (int | None, True),
        (Leaf, True),
        (Twig, True),
        (Leaf | Twig, True),
        (list[int], False),
        (dict[str, int], False),
        (tuple, False),
        (Any, False),
        (tuple[list[int], ...], False),
        (Fill, False),
        (Holder, False),
        (NewType("Names", list[str]), False),
        (Leaf | Holder, False),
    ],
)
def test_which_types_nobody_can_change_a_value_of(type_: Any, frozen: bool) -> None:
    assert is_frozen(type_) is frozen


@dataclass(frozen=True)
class Weigh:
    kilograms: float


class Scale(StateMachine):
    State, Input = BasketState, Weigh

    def stf(self, state: Any, input: Any, actions: Any) -> str:
        return repr(input.payload.kilograms)


def test_a_machine_has_its_input_as_a_replay_has_it(memory: Any) -> None:
    layer = Layer(Scale(), SPACE, journal=True)
    assert layer.apply(memory, Weigh(3)).reply == "3.0"
    assert layer.replay(memory).same
