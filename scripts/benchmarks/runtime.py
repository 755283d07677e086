"""What workers can do: actions and inputs a second, the way from submission to outcome, and how that holds up.

Beside them, where they are installed, DBOS and eventsourcing doing the nearest equivalent work on SQLite. With
--soak SECONDS a worker runs at a steady rate instead, and what it takes of memory and disk is printed as it goes.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import phasm_fdb
from phasm_fdb import (
    Counter,
    Handlers,
    Layer,
    Normal,
    State,
    StateMachine,
    Tracked,
    TrackedActionCompleted,
    Worker,
    aio,
)
from phasm_fdb.database.transactional import run as run_transaction
from scripts.benchmarks import _rivals
from scripts.benchmarks.measure import count, table

AIMS = {"memory": 3_000, "SQLite, synchronous=normal": 1_500}
IN_A_TRANSACTION = 200
#: Beside many pending ones so many times as many actions are run, so that one collection of the garbage of a million
#: rows in this process's memory does not fall on a few of them.
LONGER = 4
CLIENTS = 16

#: How much faster the soak's layer ages: receipts are kept for an hour or two, so that an hour has to pass in two
#: minutes for a run of half an hour to see them go.
SOAK_AGEING = 30
SOAK_LINE_SECONDS = 30.0


@dataclass(frozen=True)
class Order:
    id: int


@dataclass(frozen=True)
class Tick:
    """Adds to the one hot key."""


@dataclass(frozen=True)
class Ship:
    id: int


@dataclass(frozen=True)
class Shipped:
    pass


class ShopState(State):
    ordered = Counter()
    shipped = Counter()
    hot = Counter()


class Shop(StateMachine):
    State = ShopState
    Input = Order | Tick
    TrackedAction = Ship
    TrackedResult = Shipped

    def stf(self, state: Any, input: Any, actions: Any) -> Any:
        match input:
            case Normal(Order(id)):
                state.ordered.add(1)
                actions.add(Tracked(id, Ship(id)))
            case Normal(Tick()):
                return state.hot.take()
            case TrackedActionCompleted(_, Shipped()):
                state.shipped.add(1)
        return None


handlers = Handlers()


@handlers.on(Ship)
async def ship(action: Ship, attempt: Any) -> Shipped:
    return Shipped()


class Place:
    """A layer in a database of its own."""

    def __init__(self, url: str, clock: Callable[[], float] = time.time) -> None:
        self.db = phasm_fdb.open(url)
        self.layer = Layer(Shop(), ("benchmark", os.urandom(8)), clock=clock)

    def fill(self, first: int, last: int, apply: Callable[[Any, int], object] | None = None) -> None:
        """Order `first` to `last`, many in a transaction: this is not what is measured."""
        apply = apply or (lambda tr, id: self.layer.apply(tr, Order(id)))
        for begin in range(first, last, IN_A_TRANSACTION):
            ids = range(begin, min(last, begin + IN_A_TRANSACTION))
            run_transaction(self.db, lambda tr, ids=ids: [apply(tr, id) for id in ids])  # type: ignore[misc]

    @asynccontextmanager
    async def worker(self, **options: Any) -> Any:
        async with Worker(self.db, self.layer, handlers, **options) as worker:
            yield worker

    def close(self) -> None:
        if hasattr(self.db, "close"):
            self.db.close()


async def reached(worker: Worker, name: str, number: int) -> None:
    while worker.counts.get(name, 0) < number:
        await asyncio.sleep(0.002)


async def actions_a_second(place: Place, actions: int) -> float:
    """Pending actions run by a handler that does nothing, results fed back."""
    place.fill(0, actions)
    started = time.perf_counter()
    async with place.worker() as worker:
        await reached(worker, "actions.completed", actions)
        return actions / (time.perf_counter() - started)


async def orders_a_second(place: Place, orders: int) -> float:
    """The whole way: an order applied in a transaction of its own, its action run, the result fed back."""
    ids = iter(range(orders))

    async def order() -> None:
        for id in ids:
            await aio.run(place.layer.apply, place.db, Order(id))

    async with place.worker() as worker:
        started = time.perf_counter()
        await asyncio.gather(*(order() for _ in range(CLIENTS)))
        await reached(worker, "actions.completed", orders)
        return orders / (time.perf_counter() - started)


async def hot_inputs_a_second(place: Place, inputs: int) -> float:
    """Submitted inputs that all change the same key."""
    place.fill(0, inputs, lambda tr, _: place.layer.submit(tr, Tick(), ordering_key="hot"))
    started = time.perf_counter()
    async with place.worker() as worker:
        await reached(worker, "transitions", inputs)
        return inputs / (time.perf_counter() - started)


async def hot_applies_a_second(place: Place, seconds: float, tasks: int) -> float:
    """The same inputs applied one by one, by so many tasks at once."""
    done, until = 0, time.perf_counter() + seconds

    async def apply() -> None:
        nonlocal done
        while time.perf_counter() < until:
            await aio.run(place.layer.apply, place.db, Tick())
            done += 1

    started = time.perf_counter()
    await asyncio.gather(*(apply() for _ in range(tasks)))
    return done / (time.perf_counter() - started)


async def call_milliseconds(place: Place, calls: int) -> tuple[float, float]:
    """Median and 99th percentile of the time from submission to outcome, one call at a time."""
    async with place.worker():
        await place.layer.call(place.db, Tick())
        times = []
        for _ in range(calls):
            started = time.perf_counter()
            await place.layer.call(place.db, Tick())
            times.append(1000 * (time.perf_counter() - started))
            await asyncio.sleep(0.005)
    return statistics.median(times), statistics.quantiles(times, n=100)[-1]


async def rates_by_pending(place: Place, sizes: Sequence[int], actions: int) -> list[tuple[int, float, float]]:
    """Actions completed a second while so many more are pending, and the microseconds of CPU that each took.

    The latter do not depend on what else the machine does in the minutes that it takes to order a million.
    """
    rates, ordered, completed = [], 0, 0
    for size in sizes:
        place.fill(ordered, completed + size + actions)
        ordered = completed + size + actions
        async with place.worker() as worker:
            await reached(worker, "actions.completed", actions // 10)
            started, used, before = time.perf_counter(), time.process_time(), worker.counts["actions.completed"]
            await reached(worker, "actions.completed", actions)
            done, passed = worker.counts["actions.completed"] - before, time.perf_counter() - started
            used = time.process_time() - used
        rates.append((size, done / passed, 1e6 * used / done))
        completed += worker.counts["actions.completed"]
    return rates


async def soak(url: str, path: Path | None, seconds: float, a_second: float) -> None:
    """A steady rate of orders; a line every 30 seconds, and at the end what grew in the last third of the time."""
    begun = time.time()
    place = Place(url, clock=lambda: begun + (time.time() - begun) * SOAK_AGEING)
    header = ["after", "completed", "pending", "memory", "file", "log"]
    print("  ".join(header), flush=True)
    sizes: list[tuple[float, tuple[int, int, int]]] = []
    ordered, started = 0, time.monotonic()

    async def client() -> None:
        nonlocal ordered
        while (passed := time.monotonic() - started) < seconds:
            if ordered < passed * a_second:
                ordered += 1
                await aio.run(place.layer.apply, place.db, Order(ordered))
            await asyncio.sleep(0 if ordered < passed * a_second else 0.005)  # others have their turn either way

    async def watch(worker: Worker) -> None:
        while True:
            passed, done = time.monotonic() - started, worker.counts.get("actions.completed", 0)
            sizes.append((passed, (memory(), *map(bytes_of, files_of(path)))))
            row = [f"{passed:.0f} s", count(done), count(ordered - done), *map(megabytes, sizes[-1][1])]
            print("  ".join(row), flush=True)
            await asyncio.sleep(SOAK_LINE_SECONDS)

    async with place.worker() as worker:
        watching = asyncio.ensure_future(watch(worker))
        await asyncio.gather(*(client() for _ in range(CLIENTS)))
        await reached(worker, "actions.completed", ordered)
        passed = time.monotonic() - started
        watching.cancel()
    place.close()
    print(f"{count(ordered)} orders and their actions, {ordered / passed:.0f} a second; {dict(worker.counts)}")
    early, late = most_of(sizes, seconds / 3, seconds * 2 / 3), most_of(sizes, seconds * 2 / 3, seconds)
    body = [
        [name, megabytes(before), megabytes(after), f"{after / before:.2f}" if before else "-"]
        for name, before, after in zip(header[3:], early, late, strict=True)
    ]
    table("The most that was taken", ["", "in the second third", "in the last third", "grown by"], body)


def most_of(sizes: Sequence[tuple[float, tuple[int, int, int]]], begin: float, end: float) -> tuple[int, ...]:
    """The largest memory, file and log that were seen in a time."""
    seen = [taken for passed, taken in sizes if begin <= passed < end]
    return tuple(max(column) for column in zip(*seen, strict=True)) if seen else (0, 0, 0)


def files_of(path: Path | None) -> tuple[Path | None, Path | None]:
    """A SQLite file and its log; None for other databases."""
    return (path, path.with_name(f"{path.name}-wal")) if path is not None else (None, None)


def bytes_of(path: Path | None) -> int:
    return path.stat().st_size if path is not None and path.exists() else 0


def memory() -> int:
    """Resident bytes of this process."""
    status = Path("/proc/self/statm")
    if status.exists():
        return int(status.read_text().split()[1]) * resource.getpagesize()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def megabytes(size: float) -> str:
    return f"{size / 1e6:.1f} MB"


def urls(folder: str, given: str | None) -> dict[str, str]:
    if given is not None:
        return {given: given}
    return {
        "memory": "memory:",
        "SQLite, synchronous=normal": f"embedded:{folder}/normal?synchronous=normal",
        "SQLite, fsync at each commit": f"embedded:{folder}/full?synchronous=full",
    }


def compare(options: argparse.Namespace, places: dict[str, str]) -> dict[str, float]:
    """Measure each database, print the tables, and give the orders a second by database."""
    actions, inputs, whole = [], [], {}
    for name, url in places.items():
        completed = asyncio.run(actions_a_second(Place(url), options.actions))
        whole[name] = asyncio.run(orders_a_second(Place(url), options.actions // 4))
        aim = f"{completed / AIMS[name]:.2f}" if name in AIMS else "-"
        actions.append([name, count(completed), aim, count(whole[name])])
        hot = asyncio.run(hot_inputs_a_second(Place(url), options.actions))
        alone = asyncio.run(hot_applies_a_second(Place(url), options.seconds, tasks=1))
        crowd = asyncio.run(hot_applies_a_second(Place(url), options.seconds, tasks=16))
        median, late = asyncio.run(call_milliseconds(Place(url), 200))
        inputs.append(
            [name, count(hot), count(alone), count(crowd), f"{hot / alone:.1f}", f"{median:.2f}", f"{late:.2f}"]
        )
    header = ["database", "actions/s", "of aim", "orders/s"]
    table("Actions with a handler that does nothing, one worker", header, actions)
    header = ["database", "inbox/s", "apply/s", "by 16 tasks", "ratio", "ms to outcome", "99 %"]
    table("Inputs on one hot key: inbox, and apply one by one", header, inputs)
    return whole


def run(argv: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="scripts/benchmark.py runtime", description=__doc__)
    parser.add_argument("--actions", type=int, default=5_000, help="how many actions each measurement runs")
    parser.add_argument("--seconds", type=float, default=2.0, help="how long each measurement by time runs")
    parser.add_argument("--database", metavar="URL", help="measure this one only, such as fdb:")
    parser.add_argument("--most-pending", type=int, default=100_000, help="the largest number of pending actions")
    parser.add_argument("--soak", type=float, metavar="SECONDS", help="run steadily for so long instead")
    parser.add_argument("--rate", type=float, default=500.0, help="orders a second for --soak")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        if options.soak is not None:
            path = Path(folder) / "soak" if options.database is None else None
            url = options.database or f"embedded:{path}?synchronous=normal"
            asyncio.run(soak(url, path, options.soak, options.rate))
            return
        whole = compare(options, urls(folder, options.database))
        sizes = [10**power for power in range(2, 7) if 10**power <= options.most_pending]
        rates = asyncio.run(rates_by_pending(Place(options.database or "memory:"), sizes, LONGER * options.actions))
        best, least = max(rate for _, rate, _ in rates), min(used for _, _, used in rates)
        body = [
            [count(size), count(rate), f"{best / rate:.2f}", f"{used:.0f}", f"{used / least:.2f}"]
            for size, rate, used in rates
        ]
        header = ["pending", "actions/s", "slower by", "us of CPU each", "more by"]
        table("Completed a second while so many are pending", header, body)
        if options.database is None:
            _rivals.compare(Path(folder), options.actions // 4, whole)
