"""The layer against a hand-written transaction with the same reads and writes, side by side on one database.

Also one hot key that every transition reads and writes, with and without `Layer(cache=...)`.
"""

from __future__ import annotations

import argparse
import asyncio
import struct
import time
import uuid
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

import msgpack
from fdb.tuple import Versionstamp

import phasm_fdb
from phasm_fdb import Layer, Map, Normal, State, StateMachine, Subspace, Tracked, Value, aio
from phasm_fdb.database.transactional import run as in_transaction
from phasm_fdb.database.waiting import wait
from phasm_fdb.keyspace import Keyspace, stamp_value, stamped_key
from scripts.benchmarks.measure import collector_paused, count, table

USERS = 100_000
IN_FLIGHT = (1, 16, 256)
AIM = 0.8

Work = Callable[[int], object]


@dataclass(frozen=True)
class Transfer:
    sender: str
    receiver: str
    cents: int


@dataclass(frozen=True)
class Tell:
    receiver: str


class BankState(State):
    cents = Map(str, int)


class Bank(StateMachine):
    """Two reads, two writes, and an action: its rows in the outbox and of its id, and the lane's signal."""

    State = BankState
    Input = Transfer
    TrackedAction = Tell
    TrackedResult = str

    def stf(self, state: Any, input: Any, actions: Any) -> None:
        match input:
            case Normal(Transfer(sender, receiver, cents)):
                found = state.cents.get_many([sender, receiver])
                state.cents[sender] = found.get(sender, 0) - cents
                state.cents[receiver] = found.get(receiver, 0) + cents
                actions.add(Tracked(actions.new_id(), Tell(receiver)))


class ByHand:
    """The same reads and writes, as somebody would write them for this one purpose: known keys, no types.

    All reads are sent together. It answers the new action's id, as the layer does.
    """

    def __init__(self, db: Any, subspace: Subspace) -> None:
        self._db = db
        self._meta = subspace.pack(("m",))
        self._cents = subspace.pack(("s", "cents"))
        self._keys = Keyspace(subspace)
        self._receipts = self._keys.own_receipts_of(0)
        in_transaction(db, lambda tr: tr.set(self._meta, msgpack.packb({"lanes": 8})))

    def __call__(self, n: int) -> bytes:
        sender, receiver = user(n), user(7 * n + 1)
        token = self._receipts + uuid.uuid4().bytes
        id: bytes = wait(in_transaction(self._db, lambda tr: self._transfer(tr, sender, receiver, 1, token)))
        return id

    def _transfer(self, tr: Any, sender: str, receiver: str, cents: int, token: bytes) -> Any:
        from_key, to_key = self._cents + sender.encode(), self._cents + receiver.encode()
        reads = [tr.get(self._meta), tr.get(from_key), tr.get(to_key)]
        meta, one, other = [wait(read) for read in reads]
        tr.set(from_key, struct.pack("<q", _number(one) - cents))
        tr.set(to_key, struct.pack("<q", _number(other) + cents))
        lane = hash(receiver) % msgpack.unpackb(meta)["lanes"]
        stamp = Versionstamp.incomplete(0)
        tr.set_versionstamped_key(stamped_key(self._keys.outbox_row(lane, stamp)), msgpack.packb(["Tell", receiver]))
        tr.set_versionstamped_key(stamped_key(self._keys.stillborn_row(stamp)), msgpack.packb(lane))
        tr.add(self._keys.signal(lane), b"\1\0\0\0\0\0\0\0")
        tr.set_versionstamped_value(token, stamp_value(msgpack.packb([None, receiver])))
        return tr.get_versionstamp()


def _number(data: bytes | None) -> int:
    return 0 if data is None else int(struct.unpack("<q", data)[0])


def user(n: int) -> str:
    return f"user {n % USERS}"


class HotState(State):
    total = Value(int, 0)


@dataclass(frozen=True)
class Increment:
    pass


class Hot(StateMachine):
    """One key that every transition reads and writes."""

    State = HotState
    Input = Increment
    Reply = int

    def stf(self, state: Any, input: Any, actions: Any) -> int:
        total: int = state.total.get() + 1
        state.total.set(total)
        return total


# ---------------------------------------------------------------------------------------------- measure


class Rate:
    """How often a piece of work was done, and in how many seconds; adds up over several stretches."""

    def __init__(self, work: Work, in_flight: int) -> None:
        self._work = work
        self._in_flight = in_flight
        self._next = 0
        self._done = 0
        self._seconds = 0.0

    @property
    def per_second(self) -> float:
        return self._done / self._seconds

    def stretch(self, seconds: float) -> None:
        """Work for about `seconds`: in this thread for one in flight, else as tasks of one event loop."""
        began = time.perf_counter()
        if self._in_flight == 1:
            self._alone(began + seconds)
        else:
            asyncio.run(self._together(began + seconds))
        self._seconds += time.perf_counter() - began

    def _alone(self, until: float) -> None:
        while time.perf_counter() < until:
            self._work(self._take())
            self._done += 1

    async def _together(self, until: float) -> None:
        async def client() -> None:
            while time.perf_counter() < until:
                await aio.run(self._work, self._take())
                self._done += 1

        clients: list[Coroutine[Any, Any, None]] = [client() for _ in range(self._in_flight)]
        await asyncio.gather(*clients)

    def _take(self) -> int:
        self._next += 1
        return self._next


def side_by_side(works: dict[str, Work], in_flight: int, seconds: float, stretches: int = 6) -> dict[str, float]:
    """Calls a second of each, measured in turns, so that what else the machine does falls on all alike."""
    rates = {name: Rate(work, in_flight) for name, work in works.items()}
    for rate in rates.values():
        rate.stretch(min(0.3, seconds))  # connections, caches, the first transition of a layer
    rates = {name: Rate(work, in_flight) for name, work in works.items()}
    with collector_paused():
        for turn in range(stretches):
            for name in sorted(rates, reverse=turn % 2 == 1):
                rates[name].stretch(seconds / stretches)
    return {name: rate.per_second for name, rate in rates.items()}


def transitions(db: Any, space: Subspace, seconds: float) -> list[list[str]]:
    layer = Layer(Bank(), space["layer"])
    works: dict[str, Work] = {
        "by hand": ByHand(db, space["by hand"]),
        "layer": lambda n: layer.apply(db, Transfer(user(n), user(7 * n + 1), 1)),
    }
    body = []
    for in_flight in IN_FLIGHT:
        measured = side_by_side(works, in_flight, seconds)
        ratio = measured["layer"] / measured["by hand"]
        body.append([str(in_flight), count(measured["by hand"]), count(measured["layer"]), f"{ratio:.2f}"])
    return body


def hot_key(db: Any, space: Subspace, seconds: float) -> list[list[str]]:
    layers = {cache: Layer(Hot(), space[f"hot {cache}"], cache=cache) for cache in (0, 1000)}
    works: dict[str, Work] = {
        str(cache): lambda n, layer=layer: layer.apply(db, Increment())  # type: ignore[misc]
        for cache, layer in layers.items()
    }
    body = []
    for in_flight in (1, 4):
        measured = side_by_side(works, in_flight, seconds)
        ratio = measured["1000"] / measured["0"]
        body.append([str(in_flight), count(measured["0"]), count(measured["1000"]), f"{ratio:.2f}"])
    return body


def run(argv: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="scripts/benchmark.py cluster", description=__doc__)
    parser.add_argument("--database", default="memory:", metavar="URL", help="memory:, embedded:PATH, fdb: or fdb:FILE")
    parser.add_argument("--seconds", type=float, default=3.0, help="how long each measurement runs")
    options = parser.parse_args(argv)
    db = phasm_fdb.open(options.database)
    space = Subspace(("phasm-benchmark", uuid.uuid4().hex))
    try:
        title = "Transitions a second: reads of 3 rows and writes of 6, three of them with a versionstamp"
        header = ["in flight", "by hand", "layer", f"ratio (aim {AIM})"]
        table(title, header, transitions(db, space, options.seconds))
        title = "One hot key, transitions a second"
        table(title, ["in flight", "no cache", "cache=1000", "ratio"], hot_key(db, space, options.seconds))
    finally:
        del db[space.range(())]
