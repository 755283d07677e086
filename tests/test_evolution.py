"""The recipes of docs/upgrades.md: code, types and state change while work is pending, and nothing is lost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import pytest

from phasm_fdb import (
    Actions,
    CodecError,
    Index,
    KeyspaceError,
    Layer,
    Map,
    Normal,
    State,
    StateMachine,
    Subspace,
    Tracked,
    TrackedActionCompleted,
    Value,
)
from phasm_fdb.errors import NewerValue, ReplayError
from phasm_fdb.journal.history import history_in
from phasm_fdb.replay import replay
from phasm_fdb.runtime import Handlers
from tests.runtime.virtual import World, in_virtual_time


@dataclass(frozen=True)
class Order:
    item: str


@dataclass(frozen=True)
class Ship:
    item: str


@dataclass(frozen=True)
class Shipped:
    by: str


@dataclass(frozen=True)
class Receipt:
    number: int


class ShopState(State):
    orders = Map(int, Order)
    shipped = Map(int, str)


class Shop(StateMachine):
    """The first version; the later ones change the types that it is made of."""

    State: ClassVar[Any] = ShopState
    Input: ClassVar[Any] = Order
    TrackedAction: ClassVar[Any] = Ship
    TrackedResult: ClassVar[Any] = Shipped
    Reply: ClassVar[Any] = Receipt

    ship: ClassVar[Any] = Ship
    receipt: ClassVar[Any] = Receipt

    def stf(self, state: Any, input: Any, actions: Actions) -> Any:
        if isinstance(input, TrackedActionCompleted):
            del state.orders[input.id]
            state.shipped[input.id] = input.result.by
            return self.receipt(input.id)
        id = 1 + sum(1 for _ in state.orders) + sum(1 for _ in state.shipped)
        state.orders[id] = input.payload
        actions.add(Tracked(id, self.ship(input.payload.item)))
        return self.receipt(id)


# --------------------------------------------------------------------------------- a field with a default


@dataclass(frozen=True)
class GiftOrder:
    item: str
    gift: bool = False


@dataclass(frozen=True)
class FastShip:
    item: str
    express: bool = False


@dataclass(frozen=True)
class LongReceipt:
    number: int
    thanks: str = "thank you"


# Another version of the same module would call them by their old names.
GiftOrder.__name__, FastShip.__name__, LongReceipt.__name__ = "Order", "Ship", "Receipt"


class GiftState(State):
    orders = Map(int, GiftOrder)
    shipped = Map(int, str)


class GiftShop(Shop):
    name = "Shop"
    State = GiftState
    Input = GiftOrder
    TrackedAction = FastShip
    Reply = LongReceipt
    ship, receipt = FastShip, LongReceipt


def test_a_new_field_with_a_default_is_read_in_state_pending_actions_and_receipts(db: Any, subspace: Subspace) -> None:
    Layer(Shop(), subspace).apply(db, Order("tea"), request_id="r")
    new = Layer(GiftShop(), subspace)
    assert new.view(db).orders[1] == GiftOrder("tea", gift=False)
    assert list(new.pending(db)) == [Tracked(1, FastShip("tea", express=False))]
    repeated = new.apply(db, GiftOrder("tea"), request_id="r")
    assert (repeated.repeated, repeated.reply) == (True, LongReceipt(1, "thank you"))
    new.complete(db, 1, Shipped("ann"))
    assert dict(new.view(db).shipped.items()) == {1: "ann"}


class ExpressShop(GiftShop):
    """What sets the new fields, once no old code runs any more."""

    name = "Shop"
    ship = staticmethod(lambda item: FastShip(item, express=True))


def test_old_code_reads_a_new_field_until_it_is_set_and_then_refuses_it(db: Any, subspace: Subspace) -> None:
    new, old = Layer(GiftShop(), subspace), Layer(Shop(), subspace)
    new.apply(db, GiftOrder("milk"))
    assert old.view(db).orders[1] == Order("milk")
    assert [tracked.action for tracked in old.pending(db)] == [Ship("milk")]
    Layer(ExpressShop(), subspace).apply(db, GiftOrder("tea", gift=True))
    with pytest.raises(NewerValue, match=r"orders: Order has no field 'gift'"):
        old.view(db).orders[2]
    with pytest.raises(NewerValue, match="express"):
        list(old.pending(db))


@in_virtual_time
async def test_inputs_that_wait_in_the_inbox_get_the_default(world: World) -> None:
    world.layer(Shop()).submit(world.db, Order("tea"), request_id="r")
    new = world.layer(GiftShop())
    async with world.worker(new, Handlers()):
        assert (await new.outcome(world.db, "r")).reply == LongReceipt(1)
    assert new.view(world.db).orders[1] == GiftOrder("tea")


# ------------------------------------------------------------------------------------------ renamed types


@dataclass(frozen=True)
class Purchase:
    __aliases__ = ("Order",)
    item: str


@dataclass(frozen=True)
class Dispatch:
    __aliases__ = ("Ship",)
    item: str


@dataclass(frozen=True)
class Delivered:
    __aliases__ = ("Shipped",)
    by: str


class RenamedState(State):
    orders = Map(int, Purchase)
    shipped = Map(int, str)


class RenamedShop(Shop):
    name = "Shop"
    State = RenamedState
    Input = Purchase
    TrackedAction = Dispatch
    TrackedResult = Delivered
    ship = Dispatch


@in_virtual_time
async def test_renamed_types_go_on_under_their_new_names(world: World) -> None:
    old = world.layer(Shop(), journal=True)
    old.apply(world.db, Order("tea"))
    old.submit(world.db, Order("milk"), request_id="r")
    new = world.layer(RenamedShop())
    handlers = Handlers()

    @handlers.on(Dispatch)
    async def dispatch(action: Dispatch, attempt: Any) -> Delivered:
        return Delivered(f"{action.item} by ann")

    async with world.worker(new, handlers):
        await world.until(lambda: len(list(new.view(world.db).shipped)) == 2)
    assert dict(new.view(world.db).shipped.items()) == {1: "tea by ann", 2: "milk by ann"}
    recorded = history_in(new.keyspace, new.context.meta, world.db)
    first = replay(new.context, recorded).differences[0]
    assert first.expected[0].startswith("actions, which are stored as") and "Ship" in first.expected[0]
    assert first.found[0].startswith("actions, which are stored as") and "Dispatch" in first.found[0]


def test_a_renamed_machine_keeps_its_name(db: Any, subspace: Subspace) -> None:
    class Store(Shop):
        pass

    class Kept(Shop):
        name = "Shop"

    Layer(Shop(), subspace).apply(db, Order("tea"))
    with pytest.raises(KeyspaceError, match="belongs to the machine Shop"):
        Layer(Store(), subspace).apply(db, Order("tea"))
    assert Layer(Kept(), subspace).apply(db, Order("tea")).reply == Receipt(2)


# ------------------------------------------------------------------------- a type removed while pending


@dataclass(frozen=True)
class Drone:
    item: str


class DroneShop(Shop):
    """Knows another way to ship, which was tried for a while."""

    name = "Shop"
    TrackedAction = Ship | Drone
    ship = Drone


class NoMoreDrones(Shop):
    name = "Shop"


def drained(layer: Layer, db: Any, action_type: type) -> bool:
    return not any(isinstance(tracked.action, action_type) for tracked in layer.pending(db))


def test_a_type_can_go_when_nothing_of_it_is_pending(db: Any, subspace: Subspace) -> None:
    drones = Layer(DroneShop(), subspace)
    drones.apply(db, Order("tea"))
    assert not drained(drones, db, Drone)
    drones.complete(db, 1, Shipped("drone"))
    assert drained(drones, db, Drone)
    without = Layer(NoMoreDrones(), subspace)
    without.apply(db, Order("milk"))
    assert [tracked.action for tracked in without.pending(db)] == [Ship("milk")]


def test_a_type_that_went_too_early_is_named_and_its_actions_can_still_end(db: Any, subspace: Subspace) -> None:
    drones, without = Layer(DroneShop(), subspace), Layer(NoMoreDrones(), subspace)
    drones.apply(db, Order("tea"))
    drones.apply(db, Order("milk"))
    with pytest.raises(CodecError, match="Drone"):
        list(without.pending(db))
    without.complete(db, 1, Shipped("drone"))
    assert without.apply(db, Order("salt")).reply == Receipt(3)
    assert {tracked.id for tracked in drones.pending(db)} == {2, 3}, "nothing is lost"


@in_virtual_time
async def test_workers_leave_actions_of_a_removed_type_until_it_is_back(world: World) -> None:
    drones, without = world.layer(DroneShop()), world.layer(NoMoreDrones())
    drones.apply(world.db, Order("tea"))
    without.apply(world.db, Order("milk"))
    handlers, by_drone = Handlers(), Handlers()

    @handlers.on(Ship)
    async def ship(action: Ship, attempt: Any) -> Shipped:
        return Shipped("ann")

    @by_drone.on(Drone)
    async def fly(action: Drone, attempt: Any) -> Shipped:
        return Shipped("drone")

    async with world.worker(without, handlers):
        await world.until(lambda: 2 in drones.view(world.db).shipped)
    assert [tracked.id for tracked in drones.pending(world.db)] == [1]
    async with world.worker(drones, by_drone):
        await world.until(lambda: 1 in drones.view(world.db).shipped)
    assert dict(drones.view(world.db).shipped.items()) == {1: "drone", 2: "ann"}


# -------------------------------------------------------------------------------------------- new layouts


@dataclass(frozen=True)
class Line:
    item: str
    count: int


class LinesState(State):
    orders = Map(int, Order)
    shipped = Map(int, str)
    lines = Map(tuple[int, int], Line)
    by_item = Index(lines, str, lambda line: line.item)


class LinesShop(Shop):
    """Version 2: an order has lines."""

    name = "Shop"
    State: ClassVar[Any] = LinesState
    schema_version = 2

    def migrate(self, state: Any, from_version: int) -> bool:
        assert from_version == 1
        batch = list(state.orders.items(limit=10))
        for id, order in batch:
            state.lines[id, 0] = Line(order.item, 1)
            del state.orders[id]
        return len(batch) == 10

    def stf(self, state: Any, input: Any, actions: Actions) -> Any:
        if isinstance(input, Normal):
            id = 1 + sum(1 for _ in state.lines) + sum(1 for _ in state.shipped)
            state.lines[id, 0] = Line(input.payload.item, 1)
            return Receipt(id)
        state.lines.clear(prefix=(input.id,))
        state.shipped[input.id] = input.result.by
        return Receipt(input.id)


class Killed(Exception):
    pass


class Killing:
    """A database under whose user the process dies after so many transactions."""

    def __init__(self, db: Any, after: int) -> None:
        self._db = db
        self._left = after

    def create_transaction(self) -> Any:
        if self._left == 0:
            raise Killed
        self._left -= 1
        return self._db.create_transaction()


def test_a_migration_moves_the_state_in_batches_and_pending_work_goes_on(db: Any, subspace: Subspace) -> None:
    old, new = Layer(Shop(), subspace), Layer(LinesShop(), subspace)
    for number in range(25):
        old.apply(db, Order(f"item {number % 3}"))
    with pytest.raises(KeyspaceError, match="schema version 1, and this Shop has 2: migrate"):
        new.apply(db, Order("tea"))
    with pytest.raises(Killed):
        new.migrate(Killing(db, after=1))
    for layer in (old, new):
        with pytest.raises(KeyspaceError):
            layer.apply(db, Order("tea"))
    with pytest.raises(ReplayError, match="is being migrated from schema version 1"):
        new.snapshot(db)
    assert new.migrate(db) == 2
    assert new.migrate(db) == 0
    view = new.view(db)
    assert (len(list(view.orders)), len(list(view.lines))) == (0, 25)
    assert [key for key, _ in view.by_item.items("item 2")][:2] == [(3, 0), (6, 0)]
    new.complete(db, 7, Shipped("ann"))
    assert new.apply(db, Order("tea")).reply == Receipt(26)
    with pytest.raises(KeyspaceError, match="upgrade this process"):
        old.apply(db, Order("tea"))


class IndexedState(State):
    lines = Map(tuple[int, int], Line)
    by_count = Index(lines, int, lambda line: line.count)
    shipped = Map(int, str)
    cursor = Value(int, 0)


class IndexedShop(LinesShop):
    """Version 3: the lines have another index."""

    name = "Shop"
    State = IndexedState
    schema_version = 3

    def migrate(self, state: Any, from_version: int) -> bool:
        assert from_version == 2
        batch = list(state.lines.items((state.cursor.get() + 1, 0), limit=10))
        for key, line in batch:
            del state.lines[key]
            state.lines[key] = line
            state.cursor.set(key[0])
        return len(batch) == 10


def test_a_new_index_knows_the_old_rows_once_they_were_put_back(db: Any, subspace: Subspace) -> None:
    lines, indexed = Layer(LinesShop(), subspace), Layer(IndexedShop(), subspace)
    for number in range(25):
        lines.apply(db, Order(f"item {number}"))
    assert indexed.migrate(db) == 3
    assert len(list(indexed.view(db).by_count.keys(1))) == 25
    indexed.apply(db, Order("tea"))
    assert len(list(indexed.view(db).by_count.keys(1))) == 26


def test_a_replay_does_not_cross_a_migration_but_begins_behind_it(db: Any, subspace: Subspace) -> None:
    old, new = Layer(Shop(), subspace, journal=True), Layer(LinesShop(), subspace)
    old.apply(db, Order("tea"))
    before = old.snapshot(db)
    new.migrate(db)
    new.apply(db, Order("milk"))

    def replayed(layer: Layer, since: str | None) -> Any:
        return replay(layer.context, history_in(layer.keyspace, layer.context.meta, db, since))

    with pytest.raises(ReplayError, match="begins with schema version 1, and this Shop has 2"):
        replayed(new, None)
    for since in (None, str(before)):
        with pytest.raises(ReplayError, match="was migrated from schema version 1"):
            replayed(old, since)
    new.snapshot(db)
    new.apply(db, Order("salt"))
    report = replayed(new, "latest")
    assert report.same and report.applied == 1


# --------------------------------------------------------------------------------------- before a deploy


class PickyShop(Shop):
    """New code that decides otherwise about one kind of input."""

    name = "Shop"

    def stf(self, state: Any, input: Any, actions: Actions) -> Any:
        receipt = super().stf(state, input, actions)
        if isinstance(input, Normal) and input.payload.item == "tea":
            actions.clear()
        return receipt


def test_the_history_tells_where_new_code_would_have_decided_otherwise(db: Any, subspace: Subspace) -> None:
    layer = Layer(Shop(), subspace, journal=True)
    for item in ("milk", "tea", "salt", "tea"):
        layer.apply(db, Order(item))
    recorded = history_in(layer.keyspace, layer.context.meta, db)
    report = replay(layer.context, recorded, Layer(PickyShop(), subspace).context)
    assert report.applied == 4
    assert [difference.expected for difference in report.differences] == [
        ("emits Tracked(2, Ship(item='tea'))",),
        ("emits Tracked(4, Ship(item='tea'))",),
    ]
    assert all("tea" in difference.input for difference in report.differences)
