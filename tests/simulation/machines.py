"""Small machines that are wrong on purpose, and their workloads."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

from phasm_fdb import (
    Actions,
    Counter,
    InvariantViolation,
    Map,
    Normal,
    State,
    StateMachine,
    Tracked,
    TrackedActionCompleted,
    TransitionError,
    Value,
)
from phasm_fdb.simulation import Workload


@dataclass(frozen=True)
class Buy:
    """Input: buy so many."""

    amount: int


@dataclass(frozen=True)
class Ship:
    """Tracked: send an order on its way."""

    order: int


@dataclass(frozen=True)
class Shipped:
    """Result: it is on its way."""


class SoldOut(TransitionError):
    """There are not so many left."""


STOCK = 100


class ShopState(State):
    stock = Value(int, STOCK)
    sold = Value(int, 0)
    orders = Map(int, str)
    last_order = Counter()


class Shop(StateMachine):
    """A shop that is right."""

    State = ShopState
    Input = Buy
    TrackedAction = Ship
    TrackedResult = Shipped

    def stf(self, state: ShopState, input: Any, actions: Actions) -> int | None:
        match input:
            case Normal(Buy(amount)):
                return self.buy(state, actions, amount)
            case TrackedActionCompleted(id, Shipped()):
                self.shipped(state, actions, id)
        return None

    def buy(self, state: ShopState, actions: Actions, amount: int) -> int:
        if amount > state.stock.get():
            raise SoldOut(f"{amount} of {state.stock.get()}")
        state.stock.set(state.stock.get() - amount)
        state.sold.set(state.sold.get() + amount)
        order = state.last_order.take()
        state.orders[order] = "ordered"
        actions.add(Tracked(order, Ship(order)))
        return order

    def shipped(self, state: ShopState, actions: Actions, order: int) -> None:
        state.orders[order] = "shipped"

    def check_invariants(self, state: ShopState) -> None:
        if state.stock.get() + state.sold.get() != STOCK:
            raise InvariantViolation(f"nothing is lost: {state.stock.get()} in stock and {state.sold.get()} sold")
        assert state.stock.get() >= 0, f"stock not negative: it is {state.stock.get()}"


class Oversells(Shop):
    """Forgets to look at the stock."""

    def buy(self, state: ShopState, actions: Actions, amount: int) -> int:
        state.stock.set(state.stock.get() - amount)
        state.sold.set(state.sold.get() + amount)
        return amount


class Careless(Oversells):
    """The same, and its incremental check looks at nothing."""

    def check_changes(self, state: ShopState, changes: Any) -> None:
        pass


class Breaks(Shop):
    """Has a bug that raises."""

    def shipped(self, state: ShopState, actions: Actions, order: int) -> None:
        raise ZeroDivisionError("a bug")


class NeverRests(Shop):
    """Ships again and again."""

    def shipped(self, state: ShopState, actions: Actions, order: int) -> None:
        actions.add(Tracked(order, Ship(order)))


class Forgetful(Shop):
    """Does not write down what was shipped."""

    def shipped(self, state: ShopState, actions: Actions, order: int) -> None:
        state.orders[order] = state.orders[order]


class Tosses(Shop):
    """Decides by chance."""

    def buy(self, state: ShopState, actions: Actions, amount: int) -> int:
        return int(random.random() * 100)


class ShopWorkload(Workload):
    """Customers who buy one to three."""

    machine: Any = Shop

    def next_input(self, rng: random.Random, view: ShopState) -> Buy | None:
        return None if rng.random() < 0.2 else Buy(rng.randint(1, 3))

    def perform(self, rng: random.Random, action: Ship) -> Shipped:
        if rng.random() < 0.1:
            raise ConnectionError("the carrier does not answer")
        return Shipped()

    def check(self, view: ShopState) -> None:
        lost = [order for order, status in view.orders.items() if status != "shipped"]
        assert not lost, f"everything shipped: {lost} are not"

    def sometimes(self, view: ShopState) -> dict[str, bool]:
        return {"sold out": view.stock.get() == 0}


class OversellsWorkload(ShopWorkload):
    machine = Oversells


class CarelessWorkload(ShopWorkload):
    machine = Careless


class BreaksWorkload(ShopWorkload):
    machine = Breaks


class TossesWorkload(ShopWorkload):
    machine = Tosses


class NeverRestsWorkload(ShopWorkload):
    machine = NeverRests


class ForgetfulWorkload(ShopWorkload):
    machine = Forgetful


class CarrierIsDownWorkload(ShopWorkload):
    """The outside world never answers."""

    def perform(self, rng: random.Random, action: Ship) -> Shipped:
        raise ConnectionError("down for good")


class UndeclaredWorkload(ShopWorkload):
    """Sends what the machine does not take."""

    def next_input(self, rng: random.Random, view: ShopState) -> Any:
        return "Buy"


class IdleWorkload(ShopWorkload):
    """Does nothing at all."""

    def next_input(self, rng: random.Random, view: ShopState) -> None:
        return None
