"""The machine whose state lies in the kept file. It is part of that file's format: nothing of it changes any more."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from fdb.tuple import Versionstamp

from phasm_fdb import (
    Actions,
    Counter,
    Index,
    Log,
    Map,
    Normal,
    State,
    StateMachine,
    Tracked,
    TrackedActionCompleted,
    TransitionError,
    Untracked,
    Value,
)


class Empty(TransitionError):
    """There is not so much in stock."""


class Status(enum.Enum):
    OPEN = "open"
    SHIPPED = "shipped"
    FAILED = "failed"


class Size(enum.IntEnum):
    SMALL = 1
    LARGE = 2


@dataclass(frozen=True)
class Shelf:
    """A key of several elements."""

    hall: int
    size: Size
    label: str


@dataclass(frozen=True)
class Road:
    kilometres: float


@dataclass(frozen=True)
class Sea:
    ports: tuple[str, ...]


@dataclass(frozen=True)
class Order:
    """A value of every kind of type."""

    item: str
    count: int
    status: Status
    way: Road | Sea | None = None
    lines: tuple[int, ...] = ()
    labels: tuple[tuple[str, bytes], ...] = ()
    size: Size = Size.SMALL
    buyer: UUID | None = None
    gift: bool = False


@dataclass(frozen=True)
class Stock:
    """Puts so many of an item on a shelf."""

    item: str
    count: int
    shelf: Shelf | None = None


@dataclass(frozen=True)
class Buy:
    """Takes from the stock, and has it shipped."""

    order: Order
    key: str | None = None
    after: float | None = None
    how: str = "ship"


@dataclass(frozen=True)
class Ticket:
    """Asks for an action with an id from `new_id()`."""

    text: str


@dataclass(frozen=True)
class Cancel:
    order: int


@dataclass(frozen=True)
class Write:
    """Stores a document, which may be large."""

    name: str
    text: str


@dataclass(frozen=True)
class Limit:
    limit: int


@dataclass(frozen=True)
class Remind:
    name: str
    after: float
    key: str | None = None


@dataclass(frozen=True)
class Reminder:
    """What the machine sends itself."""

    name: str


@dataclass(frozen=True)
class Break:
    """Makes `stf` fail as a bug does, unless the limit is above 1000."""

    name: str


@dataclass(frozen=True)
class Ship:
    order: int
    how: str


@dataclass(frozen=True)
class Print:
    text: str


@dataclass(frozen=True)
class Shipped:
    number: str


@dataclass(frozen=True)
class Lost:
    why: str


@dataclass(frozen=True)
class Tell:
    text: str


class DepotState(State):
    stock = Map(str, int)
    shelves = Map(Shelf, list[str])
    orders = Map(int, Order)
    by_status = Index(orders, Status, lambda order: order.status)
    by_item = Index(orders, tuple[str, int], lambda order: (order.item, order.count))
    tickets = Map(Versionstamp, str)
    keyed = Map(Any, dict[str, int])
    documents = Map(str, str)
    limit = Value(int, 100)
    last = Value(Order)
    next_order = Counter()
    moved = Counter()
    events = Log(str)


class Depot(StateMachine):
    """A depot that sells what it has, and has it shipped."""

    State = DepotState
    Input = Stock | Buy | Ticket | Cancel | Write | Limit | Remind | Reminder | Break
    TrackedAction = Ship | Print
    TrackedResult = Shipped | Lost
    UntrackedAction = Tell

    def stf(self, state: Any, input: Any, actions: Actions) -> Any:
        match input:
            case Normal(Stock(item, count, shelf)):
                return self.stock(state, item, count, shelf)
            case Normal(Buy()):
                return self.buy(state, actions, input.payload)
            case Normal(Ticket(text)):
                id = actions.new_id()
                state.tickets[id] = text
                actions.add(Tracked(id, Print(text)))
            case Normal(Cancel(order)):
                actions.cancel(order)
            case Normal(Write(name, text)):
                state.documents[name] = text
            case Normal(Limit(limit)):
                state.limit.set(limit)
            case Normal(Remind(name, after, key)):
                actions.later(name, Reminder(name), after=after, ordering_key=key)
            case Normal(Reminder(name)):
                state.keyed[(name, True, 1.5, None)] = {name: input.at}
            case Normal(Break(name)):
                if state.limit.get() <= 1000:
                    raise ZeroDivisionError(f"a bug: {name}")
                state.events.append(f"mended {name}")
                return f"mended {name}"
            case TrackedActionCompleted(id, result):
                self.finish(state, actions, id, result)
        return None

    def stock(self, state: Any, item: str, count: int, shelf: Shelf | None) -> int:
        total: int = state.stock.get(item, 0) + count
        state.stock[item] = total
        state.moved.add(count)
        state.events.append(f"{count} {item}")
        if shelf is not None:
            state.shelves[shelf] = [*state.shelves.get(shelf, []), item]
        return total

    def buy(self, state: Any, actions: Actions, buy: Buy) -> int:
        order = buy.order
        left = state.stock.get(order.item, 0) - order.count
        state.stock[order.item] = left
        if left < 0 or order.count > state.limit.get():
            raise Empty(order.item, left)
        id: int = state.next_order.take()
        state.orders[id] = order
        state.last.set(order)
        actions.add(Tracked(id, Ship(id, buy.how), ordering_key=buy.key, after=buy.after))
        actions.add(Untracked(Tell(f"order {id}")))
        return id

    def finish(self, state: Any, actions: Actions, id: Any, result: Shipped | Lost) -> None:
        if isinstance(id, Versionstamp):
            state.tickets[id] += f" {result}"
            return
        order = state.orders[id]
        status = Status.SHIPPED if isinstance(result, Shipped) else Status.FAILED
        state.orders[id] = Order(order.item, order.count, status, order.way, order.lines)
        actions.add(Untracked(Tell(f"order {id}: {status.value}")))

    def restore(self, state: Any, actions: Actions) -> None:
        for id in state.by_status.keys(Status.OPEN):
            if id % 2 == 0:
                actions.add(Tracked(id, Ship(id, "ship")))
