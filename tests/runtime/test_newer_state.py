"""Old and new code side by side: where old code comes upon state in a newer form, it leaves the work to new code."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest

from phasm_fdb import Layer, Map, NewerValue, Normal, State, StateMachine, Tracked, TrackedActionCompleted, aio
from phasm_fdb.codec import writing_format
from phasm_fdb.runtime import Handlers, Retry
from tests.runtime.virtual import World, in_virtual_time, killed


@dataclass(frozen=True)
class Order:
    item: str


@dataclass(frozen=True)
class GiftOrder:
    item: str
    gift: bool = False


GiftOrder.__name__ = "Order"  # the same type in a later version of the code


@dataclass(frozen=True)
class Send:
    """An input that looks at the order."""

    id: int


@dataclass(frozen=True)
class Ship:
    id: int


@dataclass(frozen=True)
class Shipped:
    pass


class OrdersState(State):
    orders = Map(int, Order)


class GiftOrdersState(State):
    orders = Map(int, GiftOrder)


class Orders(StateMachine):
    State: ClassVar[Any] = OrdersState
    Input: ClassVar[Any] = Order | Send
    TrackedAction, TrackedResult = Ship, Shipped

    def stf(self, state: Any, input: Any, actions: Any) -> Any:
        if isinstance(input, TrackedActionCompleted):
            order = state.orders[input.id]
            del state.orders[input.id]
            return order.item
        if isinstance(input.payload, Send):
            return state.orders[input.payload.id].item
        id = 1 + sum(1 for _ in state.orders)
        state.orders[id] = input.payload
        actions.add(Tracked(id, Ship(id)))
        return id


class GiftOrders(Orders):
    name = "Orders"
    State = GiftOrdersState
    Input = GiftOrder | Send


def shipping(*, works: bool = True) -> tuple[Handlers, list[int]]:
    handlers, calls = Handlers(), []

    @handlers.on(Ship, retry=Retry(max_attempts=2, first_delay=0.1, max_delay=1.0))
    async def ship(action: Ship, attempt: Any) -> Shipped:
        calls.append(action.id)
        return Shipped()

    return (handlers if works else Handlers()), calls


@in_virtual_time
async def test_a_new_field_that_nothing_sets_is_no_matter_to_old_workers(world: World) -> None:
    new, old = world.layer(GiftOrders()), world.layer(Orders())
    handlers, calls = shipping()
    async with world.worker(old, handlers) as worker:
        for item in ("tea", "milk"):
            await aio.run(new.apply, world.db, GiftOrder(item))
        assert (await new.call(world.db, Send(1))).reply == "tea"
        await world.until(lambda: not list(new.pending(world.db)))
        assert sorted(calls) == [1, 2] and worker.counts.get("dead_letters", 0) == 0
    assert list(new.view(world.db).orders.items()) == []


@in_virtual_time
async def test_an_input_that_comes_upon_newer_state_is_left_to_new_code(world: World) -> None:
    new, old = world.layer(GiftOrders(), lanes=1), world.layer(Orders(), lanes=1)
    nothing, _ = shipping(works=False)
    new.apply(world.db, GiftOrder("tea", gift=True))
    new.apply(world.db, GiftOrder("milk"))
    async with world.worker(old, nothing) as worker:
        left = [old.submit(world.db, Send(1)), old.submit(world.db, Send(1), ordering_key="k")]
        behind = old.submit(world.db, Send(2), ordering_key="k")
        assert (await old.call(world.db, Send(2), timeout=30)).reply == "milk", "others go on"
        await asyncio.sleep(300)
        for id in (*left, behind):
            with pytest.raises(TimeoutError):
                await old.outcome(world.db, id, timeout=1)
        with pytest.raises(NewerValue, match=r"in the row .*OrdersState\.orders: Order has no field 'gift'"):
            await aio.run(old.apply, world.db, Send(1))
        assert worker.counts.get("dead_letters", 0) == 0
    async with world.worker(new, nothing):
        assert [(await new.outcome(world.db, id)).reply for id in (*left, behind)] == ["tea", "tea", "milk"]
    assert new.dead_letters(world.db) == []


@in_virtual_time
async def test_a_result_that_comes_upon_newer_state_is_kept_for_new_code(world: World) -> None:
    new, old = world.layer(GiftOrders(), lanes=1), world.layer(Orders(), lanes=1)
    (handlers, calls), (new_handlers, new_calls) = shipping(), shipping()
    new.apply(world.db, GiftOrder("tea", gift=True))
    async with world.worker(old, handlers) as worker:
        await world.until(lambda: worker.counts.get("results.kept", 0) > 5, 600.0)
        assert calls == [1] and worker.counts.get("dead_letters", 0) == 0, "far beyond `max_attempts`"
    async with world.worker(new, new_handlers):
        await world.until(lambda: not list(new.pending(world.db)), 600.0)
    assert new_calls == [], "the call is not made again"
    assert list(new.view(world.db).orders.items()) == [] and new.dead_letters(world.db) == []


class RestoringOrders(Orders):
    """Looks at all orders when a lane is taken over."""

    name = "Orders"

    def restore(self, state: Any, actions: Any) -> None:
        for id, _ in state.orders.items():
            actions.add(Tracked(id, Ship(id)))


@dataclass(frozen=True)
class Unwrap:
    """An input of the new code alone: the order is no gift any more."""

    id: int


class RestoringGiftOrders(RestoringOrders):
    name = "Orders"
    State = GiftOrdersState
    Input = GiftOrder | Send | Unwrap

    def stf(self, state: Any, input: Any, actions: Any) -> Any:
        if isinstance(input, Normal) and isinstance(input.payload, Unwrap):
            state.orders[input.payload.id] = GiftOrder(state.orders[input.payload.id].item)
            return 0
        return super().stf(state, input, actions)


@contextlib.contextmanager
def kept_records() -> Iterator[list[Any]]:
    """Keep what workers log."""
    records: list[Any] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = records.append  # type: ignore[method-assign]
    logger = logging.getLogger("phasm_fdb.worker")
    logger.addHandler(handler)
    try:
        yield records
    finally:
        logger.removeHandler(handler)


async def in_doubt(world: World, new: Layer) -> None:
    """Leave an order's action in doubt: its worker was killed while it ran."""
    handlers, begun = Handlers(), asyncio.Event()

    @handlers.on(Ship)
    async def ship(action: Ship, attempt: Any) -> Shipped:
        begun.set()
        await asyncio.sleep(1e6)
        return Shipped()

    new.apply(world.db, GiftOrder("tea", gift=True))
    task = asyncio.get_running_loop().create_task(world.worker(new, handlers, "killed").run())
    await begun.wait()
    await killed(task)


@in_virtual_time
async def test_a_lane_whose_restore_comes_upon_newer_state_waits_for_new_code(world: World) -> None:
    new, old = world.layer(RestoringGiftOrders(), lanes=1), world.layer(RestoringOrders(), lanes=1)
    await in_doubt(world, new)
    (handlers, calls), (new_handlers, new_calls) = shipping(), shipping()
    with kept_records() as records:
        async with world.worker(old, handlers, "old"), world.worker(old, shipping()[0], "also old"):
            await asyncio.sleep(300)
            assert calls == [], "nothing of the lane is started before `restore` has said how to go on"
            said = [record for record in records if "`restore` came upon state in a newer form" in record.getMessage()]
            assert sorted(record.worker for record in said) == ["also old", "old"], "each says it once"
            async with world.worker(new, new_handlers, "new"):
                await world.until(lambda: not list(new.pending(world.db)))
    assert (calls, new_calls) == ([], [1]) and new.dead_letters(world.db) == []


@in_virtual_time
async def test_a_lane_that_waits_for_new_code_goes_on_when_the_state_can_be_read(world: World) -> None:
    new, old = world.layer(RestoringGiftOrders(), lanes=1), world.layer(RestoringOrders(), lanes=1)
    await in_doubt(world, new)
    handlers, calls = shipping()
    async with world.worker(old, handlers) as worker:
        await asyncio.sleep(100)
        assert (calls, worker.lanes) == ([], (0,))
        await aio.run(new.apply, world.db, Unwrap(1))
        await world.until(lambda: not list(new.pending(world.db)))
    assert calls == [1]


@dataclass(frozen=True)
class Parcel:
    id: int
    express: bool = False


class ParcelsState(State):
    sent = Map(int, bool)


class Parcels(StateMachine):
    State, Input, TrackedAction, TrackedResult = ParcelsState, Send, Parcel, Shipped

    def stf(self, state: Any, input: Any, actions: Any) -> None:
        if isinstance(input, TrackedActionCompleted):
            del state.sent[input.id]
            return
        state.sent[input.payload.id] = True
        actions.add(Tracked(input.payload.id, Parcel(input.payload.id)))

    def restore(self, state: Any, actions: Any) -> None:
        for id in state.sent:
            actions.add(Tracked(id, Parcel(id)))


@in_virtual_time
async def test_what_restore_emits_as_it_was_is_the_same_action_also_if_older_code_stored_it(world: World) -> None:
    layer, handlers, numbers = world.layer(Parcels(), lanes=1), Handlers(), []

    @handlers.on(Parcel)
    async def send(action: Parcel, attempt: Any) -> Shipped:
        numbers.append(attempt.number)
        if len(numbers) == 1:
            await asyncio.sleep(1e6)
        return Shipped()

    with writing_format(1):  # all fields, also those that have their default
        layer.apply(world.db, Send(7))
    task = asyncio.get_running_loop().create_task(world.worker(layer, handlers).run())
    await world.until(lambda: numbers == [1])
    await killed(task)
    async with world.worker(layer, handlers):
        await world.until(lambda: not list(layer.pending(world.db)))
    assert numbers == [1, 2]
