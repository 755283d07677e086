"""What the planted machines speak, so that each of their files shows little but its fault."""

from __future__ import annotations

from dataclasses import dataclass

from phasm_fdb import Counter, Map, State, StateMachine


@dataclass(frozen=True)
class Order:
    user: str
    cents: int


@dataclass(frozen=True)
class Ship:
    user: str


@dataclass(frozen=True)
class Shipped:
    parcel: str


class ShopState(State):
    orders = Map(int, Order)
    spent = Map(str, int)
    next_id = Counter()


class Shop(StateMachine):
    """A shop without transitions: the planted machines have them."""

    State = ShopState
    Input = Order
    TrackedAction = Ship
    TrackedResult = Shipped
    Reply = object
