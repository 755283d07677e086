"""No key that all transitions write, or read and write: clients on disjoint users never conflict, on any database."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from phasm_fdb import Counter, FDBError, Layer, Map, Normal, State, StateMachine, Tracked, TrackedActionCompleted
from phasm_fdb.database.transactional import error_code
from tests.counting import CountingDatabase

CLIENTS = 8
ROUNDS = 12


@dataclass(frozen=True)
class Order:
    user: str


@dataclass(frozen=True)
class Numbered:
    """An order that takes a number, which every other one wants too."""

    user: str


@dataclass(frozen=True)
class Ship:
    user: str


@dataclass(frozen=True)
class Shipped:
    pass


class ShopState(State):
    ordered = Map(str, int)
    open = Map(Any, str)
    total = Counter()
    numbers = Counter()


class Shop(StateMachine):
    """All that a transition can do without meeting another: own rows, `Counter.add`, `new_id`, outbox, receipt."""

    State = ShopState
    Input = Order | Numbered
    TrackedAction = Ship
    TrackedResult = Shipped
    UntrackedAction = None

    def stf(self, state: Any, input: Any, actions: Any) -> None:
        match input:
            case Normal(Order(user)):
                id = actions.new_id()
                state.ordered[user] = state.ordered.get(user, 0) + 1
                state.open[id] = user
                state.total.add(1)
                actions.add(Tracked(id, Ship(user)))
            case Normal(Numbered(user)):
                state.ordered[user] = state.numbers.take()
            case TrackedActionCompleted(id, Shipped()):
                del state.open[id]


@pytest.fixture
def shop(db: Any, subspace: Any) -> Layer:
    """A layer that exists: its first transition of all writes the meta row."""
    layer = Layer(Shop(), subspace)
    layer.apply(db, Order("first"))
    return layer


def names() -> Iterator[str]:
    return (f"user {number}" for number in range(CLIENTS))


def test_clients_on_disjoint_users_never_conflict(db: Any, shop: Layer) -> None:
    counting = CountingDatabase(db)
    start = threading.Barrier(CLIENTS)
    failures: list[BaseException] = []

    def client(user: str) -> None:
        try:
            start.wait(timeout=30)
            for number in range(ROUNDS):
                applied = shop.apply(counting, Order(user), request_id=f"{user} {number}")
                shop.apply(counting, Order(user))
                shop.complete(counting, applied.tracked[0].id, Shipped())
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=client, args=(user,)) for user in names()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert counting.codes == {}
    state = shop.view(db)
    assert [state.ordered[user] for user in names()] == [2 * ROUNDS] * CLIENTS
    assert state.total.get() == 2 * ROUNDS * CLIENTS + 1
    assert len(list(shop.pending(db))) == ROUNDS * CLIENTS + 1


def test_transactions_that_overlap_entirely_never_conflict(db: Any, shop: Layer) -> None:
    """Each has read and written everything before the first commits."""
    applied = [shop.apply(db, Order(user)) for user in names()]
    transactions = [db.create_transaction() for _ in names()]
    for tr, user, earlier in zip(transactions, names(), applied, strict=True):
        shop.apply(tr, Order(user), request_id=user)
        shop.complete(tr, earlier.tracked[0].id, Shipped())
    for tr in transactions:
        tr.commit().wait()
    assert shop.view(db).total.get() == 2 * CLIENTS + 1


def test_a_key_that_all_read_and_write_is_seen_by_this_test(db: Any, shop: Layer) -> None:
    transactions = [db.create_transaction() for _ in names()]
    for tr, user in zip(transactions, names(), strict=True):
        shop.apply(tr, Numbered(user))
    codes = [_commit(tr) for tr in transactions]
    assert codes == [None] + [1020] * (CLIENTS - 1)


def _commit(tr: Any) -> int | None:
    try:
        tr.commit().wait()
    except Exception as error:
        assert isinstance(error, FDBError) or error_code(error) is not None
        return error_code(error)
    return None
