"""The transactions by which workers agree, one by one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from phasm_fdb import Actions, Counter, Layer, StaleLease, State, StateMachine
from phasm_fdb.database.ranges import rows
from phasm_fdb.database.transactional import run
from phasm_fdb.lease import Lease
from phasm_fdb.runtime import Handlers
from phasm_fdb.runtime.applying import apply_batch, bury_first
from phasm_fdb.runtime.capabilities import Capabilities
from phasm_fdb.runtime.firing import fire
from phasm_fdb.runtime.membership import Evicted, Presence, beat, claim, enter, evict, hand_over, leave
from phasm_fdb.runtime.takeover import take_over
from phasm_fdb.runtime.worker_transaction import WorkerTransaction
from tests.runtime.machines import Append, Jobs, Order, Remind
from tests.runtime.virtual import World, in_virtual_time


def at(layer: Layer, tr: Any, now: float = 0.0) -> WorkerTransaction:
    """What a worker of the layer does in a transaction."""
    return WorkerTransaction(layer.context, tr, now)


PRESENCE = Presence(0, "w", ("Job",), ("Order",))


def joined(world: World, layer: Layer, *sessions: bytes) -> None:
    for session in sessions:
        run(world.db, lambda tr, session=session: enter(at(layer, tr), session, PRESENCE))  # type: ignore[misc]


def take(world: World, layer: Layer, session: bytes, *lanes: int) -> list[Lease]:
    return run(world.db, lambda tr: claim(at(layer, tr), session, lanes))


@in_virtual_time
async def test_a_lane_is_claimed_from_nobody_or_from_who_is_gone_and_from_nobody_else(world: World) -> None:
    layer = world.layer(Jobs())
    joined(world, layer, b"a", b"b")
    assert take(world, layer, b"a", 0, 1) == [Lease(0, 1, b"a"), Lease(1, 1, b"a")]
    assert take(world, layer, b"b", 0, 1, 2) == [Lease(2, 1, b"b")]
    run(world.db, lambda tr: leave(at(layer, tr), b"a", []))
    assert take(world, layer, b"b", 0, 1) == [Lease(0, 2, b"b"), Lease(1, 2, b"b")]


@in_virtual_time
async def test_lanes_that_the_layer_does_not_have_are_not_claimed(world: World) -> None:
    layer = world.layer(Jobs(), lanes=2)
    joined(world, layer, b"a")
    assert [lease.lane for lease in take(world, layer, b"a", 0, 1, 2, 3)] == [0, 1]


@in_virtual_time
async def test_nothing_is_claimed_while_the_layer_is_to_be_resized(world: World) -> None:
    layer = world.layer(Jobs())
    joined(world, layer, b"a")
    take(world, layer, b"a", 0)
    assert not layer.resize(world.db, 4), "a lane is held"
    assert take(world, layer, b"a", 1) == []
    run(world.db, lambda tr: leave(at(layer, tr), b"a", []))
    joined(world, layer, b"b")
    assert layer.resize(world.db, 4)
    assert len(take(world, layer, b"b", *range(8))) == 4


@in_virtual_time
async def test_who_was_taken_for_dead_while_the_layer_was_resized_can_do_nothing(world: World) -> None:
    """A worker that was paused, say: nobody has claimed its lane, and its rows may be on their way to another."""
    layer = world.layer(Jobs())
    joined(world, layer, b"a", b"b")
    [lease] = take(world, layer, b"a", 0)
    run(world.db, lambda tr: evict(at(layer, tr), {b"a": PRESENCE.encode()}))
    assert layer.resize(world.db, 4)
    with pytest.raises(StaleLease):
        run(world.db, lambda tr: fire(at(layer, tr), lease))
    assert take(world, layer, b"b", 0) == [Lease(0, 2, b"b")]


@in_virtual_time
async def test_who_leaves_gives_back_what_it_holds_and_nothing_else(world: World) -> None:
    layer = world.layer(Jobs())
    joined(world, layer, b"a", b"b")
    mine, taken = take(world, layer, b"a", 0, 1)
    run(world.db, lambda tr: hand_over(at(layer, tr), taken, b"b"))
    run(world.db, lambda tr: leave(at(layer, tr), b"a", [mine, taken]))
    survey = run(world.db, lambda tr: beat(at(layer, tr), b"b", PRESENCE))
    assert [survey.lease(lane).owner for lane in (0, 1)] == [None, b"b"]
    assert set(survey.workers) == {b"b"}


@in_virtual_time
async def test_who_was_evicted_notices_and_can_claim_nothing(world: World) -> None:
    layer = world.layer(Jobs())
    joined(world, layer, b"a", b"b")
    row = PRESENCE.encode()
    assert run(world.db, lambda tr: evict(at(layer, tr), {b"a": row, b"b": b"it has changed"})) == [b"a"]
    for refused in (
        lambda tr: beat(at(layer, tr), b"a", PRESENCE),
        lambda tr: claim(at(layer, tr), b"a", [0]),
    ):
        with pytest.raises(Evicted):
            run(world.db, refused)
    assert set(run(world.db, lambda tr: beat(at(layer, tr), b"b", PRESENCE)).workers) == {b"b"}


@in_virtual_time
async def test_heartbeats_do_not_conflict_and_an_eviction_does(world: World) -> None:
    layer = world.layer(Jobs())
    joined(world, layer, b"a", b"b")
    one, other = world.db.create_transaction(), world.db.create_transaction()
    beat(at(layer, one), b"a", PRESENCE.next())
    beat(at(layer, other), b"b", PRESENCE.next())
    one.commit().wait()
    other.commit().wait()
    late = world.db.create_transaction()
    beat(at(layer, late), b"a", PRESENCE.next().next())
    run(world.db, lambda tr: evict(at(layer, tr), {b"a": PRESENCE.next().encode()}))
    with pytest.raises(Exception, match="1020"):
        late.commit().wait()


@in_virtual_time
async def test_a_lane_is_handed_over_by_its_holder_alone(world: World) -> None:
    layer = world.layer(Jobs())
    joined(world, layer, b"a", b"b")
    (lease,) = take(world, layer, b"a", 0)

    def stored() -> Lease:
        return Lease.decode(0, world.db.create_transaction().get(layer.keyspace.lease(0)).wait().value)

    run(world.db, lambda tr: hand_over(at(layer, tr), Lease(0, 0, b"a"), b"b"))
    assert stored() == lease
    run(world.db, lambda tr: hand_over(at(layer, tr), lease, b"b"))
    assert stored() == Lease(0, 2, b"b")
    run(world.db, lambda tr: hand_over(at(layer, tr), stored(), None))
    assert stored() == Lease(0, 2, None)


STALE: dict[str, Callable[[Any, Any], Any]] = {
    "applying inputs": lambda layer, tr: apply_batch(at(layer, tr), _capabilities(layer), OLD, 10, set()),
    "burying an input": lambda layer, tr: bury_first(at(layer, tr), _capabilities(layer), OLD, "why"),
    "firing timers": lambda layer, tr: fire(at(layer, tr, FAR), OLD),
    "taking over": lambda layer, tr: take_over(at(layer, tr), OLD),
}

OLD = Lease(0, 1, b"a")
#: A time at which every timer is due, in seconds since the epoch.
FAR = 2.0**42


def _capabilities(layer: Layer) -> Capabilities:
    return Capabilities(layer.context.definition, Handlers())


@pytest.mark.parametrize("what", STALE)
def test_under_a_stale_token_nothing_is_done(what: str) -> None:
    @in_virtual_time
    async def test(world: World) -> None:
        layer = world.layer(Jobs(), lanes=1)
        joined(world, layer, b"a", b"b")
        take(world, layer, b"a", 0)
        for payload in (Order(1), Order(2, after=1.0), Remind(3, after=1.0)):
            layer.apply(world.db, payload)
        layer.submit(world.db, Append("k", "a"))
        run(world.db, lambda tr: leave(at(layer, tr), b"a", []))
        take(world, layer, b"b", 0)
        before = _content(world, layer)
        with pytest.raises(StaleLease, match="lane 0 is no longer held under the token 1"):
            run(world.db, lambda tr: STALE[what](layer, tr))
        assert _content(world, layer) == before

    test()


def _content(world: World, layer: Layer) -> list[tuple[bytes, bytes]]:
    return list(rows(world.db.create_transaction(), layer.keyspace.prefix, layer.keyspace.end))


class TicksState(State):
    ticks = Counter()


class Ticks(StateMachine):
    """Counts without reading."""

    State = TicksState
    Input = str

    def stf(self, state: TicksState, input: Any, actions: Actions) -> None:
        if input.payload == "start":
            actions.later("clock", "tick", after=1.0)
        else:
            state.ticks.add(1)


@pytest.mark.parametrize("what", ["applying inputs", "burying an input"])
def test_a_commit_that_is_done_late_takes_no_input_a_second_time(what: str) -> None:
    """The worker made another in its place, under the same lease; an input for later has no receipt."""

    @in_virtual_time
    async def test(world: World) -> None:
        layer = world.layer(Ticks(), lanes=1)
        joined(world, layer, b"a")
        (lease,) = take(world, layer, b"a", 0)
        assert lease == OLD
        layer.apply(world.db, "start")
        run(world.db, lambda tr: fire(at(layer, tr, FAR), lease))
        late, other = world.db.create_transaction(), world.db.create_transaction()
        for tr in (late, other):
            STALE[what](layer, tr)
        other.commit().wait()
        with pytest.raises(Exception, match="1020"):
            late.commit().wait()

    test()
