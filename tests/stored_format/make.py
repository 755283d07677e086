"""Writes a file that holds a row of every kind, and says what it holds: run once, with the code whose file is kept.

git worktree add /tmp/then COMMIT
cp -r tests/stored_format /tmp/then/tests/
cd /tmp/then && PYTHONHASHSEED=0 python -m tests.stored_format.make kept.phasm.xz
"""

from __future__ import annotations

import asyncio
import contextlib
import lzma
import random
import sys
import tempfile
from pathlib import Path
from typing import Any
from uuid import UUID

import phasm_fdb
from phasm_fdb import Layer, Subspace, transactional
from phasm_fdb.runtime import Handlers, Retry, Worker
from phasm_fdb.runtime import Limit as Rate
from tests.runtime.virtual import EPOCH, InlineExecutor, VirtualLoop
from tests.stored_format.depot import (
    Break,
    Buy,
    Cancel,
    Depot,
    Limit,
    Lost,
    Order,
    Remind,
    Road,
    Sea,
    Shelf,
    Ship,
    Shipped,
    Size,
    Status,
    Stock,
    Ticket,
    Write,
)

SUBSPACE = Subspace(("kept", "depot"))
BUYER = UUID("12345678-1234-5678-1234-567812345678")
LARGE_TEXT = "a large document, " * 6_000
PLAIN = b"plain rows/"


def layer(clock: Any, chance: random.Random, **options: Any) -> Layer:
    return Layer(Depot(), SUBSPACE, lanes=3, journal=True, clock=clock, token_bytes=chance.randbytes, **options)


def handlers(held: asyncio.Event | None = None) -> Handlers:
    """Ships what can be shipped.

    Args:
        held: waited for by an order that is to take long.
    """
    handlers = Handlers()
    rate = Rate(concurrency=2, per_second=5.0)

    @handlers.on(Ship, retry=Retry(first_delay=3600.0, max_delay=7200.0, final=(OSError,)), limit=rate)
    async def ship(action: Ship, attempt: Any) -> Shipped | Lost:
        if action.how == "never":
            raise OSError("there is no such road")
        if action.how == "later" and attempt.number == 1:
            raise ValueError("come again")
        if action.how == "lose":
            return Lost("at sea")
        if action.how == "long" and held is not None:
            await held.wait()
        return Shipped(f"#{action.order}")

    return handlers


def inputs_of_callers(db: Any, depot: Layer) -> None:
    """Inputs of every door that needs no worker."""
    depot.apply(db, Stock("nut", 500, Shelf(1, Size.LARGE, "b")), request_id="stock-1")
    depot.apply(db, Stock("bolt", 90, Shelf(1, Size.SMALL, "a")), request_id=("stock", 2))
    depot.apply(db, Stock("bolt", 10, Shelf(1, Size.SMALL, "a")))
    depot.apply(db, Write("letter", "short"), request_id=b"letter")
    depot.apply(db, Write("book", LARGE_TEXT), request_id=BUYER)
    depot.apply(db, Write("shrunk", LARGE_TEXT))
    depot.apply(db, Write("shrunk", "no longer large"))
    first = Order("nut", 2, Status.OPEN, Road(12.5), (1, 2), (("k", b"\0\xff"),), Size.LARGE, BUYER, True)
    depot.apply(db, Buy(first), request_id="buy-1")
    depot.complete(db, 1, Shipped("#1"))
    depot.apply(db, Ticket("one"), request_id="ticket-1")
    depot.snapshot(db)
    with contextlib.suppress(phasm_fdb.TransitionError):
        depot.apply(db, Buy(Order("bolt", 101, Status.OPEN)), request_id="too many")

    @transactional
    def several(tr: Any) -> None:
        tr[PLAIN + b"before"] = b"of the caller"
        depot.apply(tr, Stock("nail", 7), request_id="nails")
        depot.apply(tr, Buy(Order("nail", 3, Status.OPEN, Sea(("Hull", "Oslo"))), how="never"), request_id="buy-2")
        depot.apply(tr, Cancel(2))  # it dies in the transaction that emitted it
        depot.apply(tr, Buy(Order("nail", 1, Status.OPEN), how="never"), request_id="buy-3")

    several(db)


def inputs_before_the_worker(db: Any, depot: Layer) -> None:
    """What a worker runs, gives up, or has in its hands when it dies."""
    for how, key in (("ship", None), ("lose", "k"), ("later", "k"), ("ship", "k"), ("long", None)):
        depot.apply(db, Buy(Order("nut", 5, Status.OPEN), key, how=how), request_id=("worker", how, key))
    for number in range(3):
        depot.submit(db, Stock("queued", number + 1), request_id=("submitted", number), ordering_key="q")
    depot.submit(db, Buy(Order("nothing", 1, Status.OPEN)), request_id="refused")
    depot.submit(db, Break("early"), request_id="broken")
    depot.apply(db, Remind("soon", 2.0))


def inputs_after_the_worker(db: Any, depot: Layer) -> None:
    """What waits in the file."""
    depot.resize(db, 5)
    depot.apply(db, Buy(Order("nut", 1, Status.OPEN)), request_id="plain")
    depot.apply(db, Buy(Order("nut", 1, Status.OPEN), "k"), request_id="keyed")
    depot.apply(db, Buy(Order("nut", 1, Status.OPEN), None, 600.0), request_id="delayed")
    depot.apply(db, Ticket("two"), request_id="ticket-2")
    depot.apply(db, Remind("late", 900.0), request_id="remind")
    depot.apply(db, Remind("late and keyed", 950.0, "q"))
    depot.apply(db, Limit(200))
    for number in range(3, 5):
        depot.submit(db, Stock("queued", number + 1), request_id=("submitted", number), ordering_key="q")
    depot.submit(db, Break("late"), request_id="broken too")


async def write(db: Any, loop: VirtualLoop, chance: random.Random) -> None:
    """Fill a new database."""

    def clock() -> float:
        return EPOCH + loop.time()

    depot = layer(clock, chance)
    inputs_of_callers(db, depot)
    inputs_before_the_worker(db, depot)
    worker = Worker(
        *(db, depot, handlers(asyncio.Event()), "first"),
        clock=clock,
        chance=random.Random(1),
        executor=InlineExecutor(),
    )
    running = asyncio.ensure_future(worker.run())
    while not ({"soon"} <= {key[0] for key in depot.view(db).keyed} and len(depot.dead_letters(db)) == 2):
        await asyncio.sleep(0.1)
    await asyncio.sleep(3.0)
    running.cancel()  # as if it were killed: its leases, its slot and the attempt that it was at stay
    await asyncio.gather(running, return_exceptions=True)
    inputs_after_the_worker(db, depot)
    for number in range(3):
        loop.jump(0.5)
        db[PLAIN + b"history"] = b"%d" % number
        db.clear_range(PLAIN + b"a", PLAIN + b"b")
        db[PLAIN + b"a%d" % number] = b"cleared by the next one"


def make(path: Path) -> None:
    """Write the file at `path`."""
    loop = VirtualLoop()
    chance = random.Random(11)
    db = phasm_fdb.open(
        f"embedded:{path}?synchronous=normal",
        poll_seconds=None,
        wall_clock=lambda: EPOCH + loop.time(),
        clock=loop.time,
        sleep=loop.jump,
        random=chance.random,
        call_later=loop.call_later,
    )
    try:
        loop.run_until_complete(write(db, loop, chance))
    finally:
        db.close()
        loop.close()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        made = Path(name) / "made.phasm"
        make(made)
        Path(sys.argv[1]).write_bytes(lzma.compress(made.read_bytes(), preset=9))
