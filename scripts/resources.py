#!/usr/bin/env python3
"""Check that a process which works for long holds no more in the end than in the beginning: `scripts/resources.py`.

It applies 200,000 inputs, opens and closes 10,000 databases, and starts and stops 1,000 workers, on the memory store
and on a file, and compares threads, descriptors, memory and the file with what they were after the first of them.
Nothing is measured in time: time is virtual, and moves on with each input. Exit status 1 if anything has grown.

Memory and the file are looked at half-way, too, and count as grown by twice the smaller half: a leak grows in both, and
what happens once does not. Python's table of interned strings, for one, is rebuilt after so many strings have come and
gone, and takes a megabyte that tracemalloc, which began later, had not seen before.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import itertools
import random
import sqlite3
import sys
import tempfile
import threading
import time
import tracemalloc
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from phasm_fdb import (  # noqa: E402
    Handlers,
    Layer,
    Map,
    Normal,
    State,
    StateMachine,
    Tracked,
    TrackedActionCompleted,
    TransitionError,
    Value,
    Worker,
    aio,
)
from phasm_fdb.embedded import open_memory, open_sqlite  # noqa: E402

STORES = ("memory", "file")
DESCRIPTORS = Path("/proc/self/fd")
EPOCH = 1_700_000_000.0
HOUR = 3600.0
#: One part in so many is done first: caches fill, pools open their connections, modules are imported.
WARM_UP = 4
#: Tables of Python grow in steps, so that much more is no leak; and beyond that so many bytes for each.
NOISE_BYTES, BYTES_EACH = 100_000, 8
#: What an open database may come to have late: helper threads, which are there while there is work for them, and
#: connections, with two descriptors each: for the event loop, for each helper, and for writing the log back.
BOUNDS = {"phasm-commit": 1, "phasm-watch": 1, ".phasm": 4, ".phasm-wal": 4}


@dataclass(frozen=True)
class Holdings:
    """What the process holds at one moment, after everything that can be freed has been.

    Attributes:
        things: threads by name, and what the open descriptors lead to.
        memory: bytes that Python has allocated, as far as `tracemalloc` is on.
        disk: bytes of the databases.
    """

    things: Counter[str]
    memory: int
    disk: int

    @classmethod
    def now(cls, folder: Path) -> Holdings:
        """Look at this process, and at the databases in a folder."""
        for _ in range(3):  # a finalizer may free what only the next collection finds
            gc.collect()
        memory = tracemalloc.get_traced_memory()[0]
        things = Counter(thread.name for thread in threading.enumerate())
        things += Counter(map(_target, DESCRIPTORS.iterdir()))
        return cls(things, memory, sum(map(_bytes_in_use, folder.glob("*.phasm"))))

    def more_than(self, before: Holdings) -> dict[str, int]:
        """The threads and descriptors that were not there before, without those that may come late."""
        more = self.things - before.things
        return {thing: number for thing, number in more.items() if self.things[thing] > _bound(thing)}


def _target(descriptor: Path) -> str:
    try:
        return str(descriptor.readlink())
    except FileNotFoundError:  # the one that the list was read through
        return "(gone)"


def _bound(thing: str) -> int:
    """How many there may be of a thread or a file, whenever they come."""
    return BOUNDS.get(Path(thing).suffix or thing, 0)


def _bytes_in_use(path: Path) -> int:
    """The bytes of the pages that hold something, in the database's file or still in its log."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        pages, free, size = (
            connection.execute(f"PRAGMA {what}").fetchone()[0] for what in ("page_count", "freelist_count", "page_size")
        )
    return int((pages - free) * size)


class Place:
    """Where the databases of one check lie, and the time there."""

    def __init__(self, store: str, folder: Path) -> None:
        self.store = store
        self.folder = folder
        self.seconds = 0.0

    def clock(self) -> float:
        """The virtual time in seconds since the epoch."""
        return EPOCH + self.seconds

    def advance(self, seconds: float) -> None:
        """Let virtual time pass."""
        self.seconds += seconds

    def open(self, name: str) -> Any:
        """The database of this name, made where there is none."""
        if self.store == "memory":
            return open_memory(clock=self.clock, sleep=self.advance)
        path = self.folder / f"{name}.phasm"
        return open_sqlite(path, synchronous="normal", wall_clock=self.clock, sleep=self.advance)

    def layer(self) -> Layer:
        """A layer that tells this time."""
        return Layer(Jobs(), ("resources",), clock=self.clock, receipt_ttl_seconds=HOUR)


@dataclass(frozen=True)
class Ask:
    """Input: have a job done; a job of no pages is refused."""

    job: int
    pages: int = 1


@dataclass(frozen=True)
class Print:
    """Tracked: do it."""

    pages: int


@dataclass(frozen=True)
class Printed:
    """Result: it is done."""


class Nothing(TransitionError):
    """There is nothing to be printed."""


class JobsState(State):
    waiting = Map(int, int)
    pages = Value(int, 0)


class Jobs(StateMachine):
    """What it keeps of a job is gone when that is done."""

    State, Input, TrackedAction, TrackedResult, Reply = JobsState, Ask, Print, Printed, int

    def stf(self, state: JobsState, input: Any, actions: Any) -> int:
        match input:
            case Normal(Ask(job, pages)):
                if not pages:
                    raise Nothing(f"job {job} has no pages")
                state.waiting[job] = pages
                actions.add(Tracked(job, Print(pages)))
            case TrackedActionCompleted(job, Printed()):
                state.pages.set(state.pages.get() + state.waiting[job])
                del state.waiting[job]
        return state.pages.get()


# ------------------------------------------------------------------------------------------------- the work

Work = Callable[[int], None]


def applies(place: Place) -> Work:
    """Apply inputs, of which every tenth is refused and every third has no request id, and complete what they emit."""
    db, layer = place.open("applies"), place.layer()
    jobs = iter(range(sys.maxsize))

    def work(count: int) -> None:
        for job in itertools.islice(jobs, count):
            with contextlib.suppress(Nothing):
                layer.apply(db, Ask(job, int(job % 10 > 0)), request_id=job if job % 3 else None)
                layer.complete(db, job, Printed())
            place.advance(10.0)  # so a receipt's hour has gone by soon, and only a few hundred are kept at a time
            if job % 100 == 0:
                layer.sweep(db)
        _forget(place, layer, db)

    return work


def opens(place: Place) -> Work:
    """Open a database, use it, and close it."""

    def work(count: int) -> None:
        for number in range(count):
            layer, db = place.layer(), place.open("opens")
            job = layer.apply(db, Ask(1)).tracked[0].id
            layer.complete(db, job, Printed())
            if number % 100 == 0:
                layer.sweep(db)
            place.advance(10.0)
            _close(db)
        db = place.open("opens")
        _forget(place, place.layer(), db)
        _close(db)

    return work


def workers(place: Place) -> Work:
    """Start a worker, have it do a job, and stop it."""
    db, layer = place.open("workers"), place.layer()

    async def live(count: int) -> None:
        handlers, done = Handlers(), asyncio.Event()

        @handlers.on(Print)
        async def print_(action: Print, attempt: Any) -> Printed:
            done.set()
            return Printed()

        for job in range(count):
            async with Worker(db, layer, handlers, clock=place.clock, chance=random.Random(job)):
                await aio.run(layer.apply, db, Ask(job))
                await done.wait()
            done.clear()
            place.advance(10.0)

    def work(count: int) -> None:
        asyncio.run(live(count))
        assert not list(layer.pending(db)), "a worker that is stopped ends what it runs"
        _forget(place, layer, db)

    return work


def _forget(place: Place, layer: Layer, db: Any) -> None:
    """Let everything expire that does, and go: receipts, and the values of five seconds ago."""
    for seconds in (3 * HOUR, 3 * HOUR, 10.0):
        place.advance(seconds)
        layer.apply(db, Ask(-1), request_id=("forget", place.seconds))
        layer.complete(db, -1, Printed())
        layer.sweep(db)


def _close(db: Any) -> None:
    if hasattr(db, "close"):
        db.close()


#: What is done, and how often in a full check.
WORKS: dict[str, tuple[Callable[[Place], Work], int]] = {
    "applies": (applies, 200_000),
    "opens": (opens, 10_000),
    "workers": (workers, 1_000),
}


# ------------------------------------------------------------------------------------------------ checking


def check(name: str, store: str, count: int) -> tuple[list[str], int]:
    """Do some work, and look what it leaves behind.

    Args:
        name: of the work, one of `WORKS`.
        store: one of `STORES`.
        count: how often it is done, after a part of that to warm up.

    Returns:
        What there is too much of, a line each; and by how many bytes the memory has grown.
    """
    with tempfile.TemporaryDirectory(prefix="phasm-resources-") as folder:
        work = WORKS[name][0](Place(store, Path(folder)))
        tracemalloc.start()
        try:
            seen: list[Holdings] = []
            for part in (max(1, count // WARM_UP), count // 2, count - count // 2):
                work(part)
                seen.append(Holdings.now(Path(folder)))
        finally:
            tracemalloc.stop()
    before, half, after = seen
    grown = [f"{more} more of {what}" for what, more in after.more_than(before).items()]
    memory = [half.memory - before.memory, after.memory - half.memory]
    disk = [half.disk - before.disk, after.disk - half.disk]
    for halves, where in ((memory, "in memory"), (disk, "on disk")):
        if 2 * min(halves) > NOISE_BYTES + BYTES_EACH * count:  # a leak grows in both halves
            grown.append(f"{sum(halves):,} bytes more {where}")
    return grown, sum(memory)


def main(arguments: Sequence[str]) -> int:
    """Check everything, and say how it went."""
    parser = argparse.ArgumentParser(description="Check that long work leaves nothing behind.")
    parser.add_argument("--share", type=float, default=1.0, metavar="X", help="do so much of it (default 1, all)")
    parser.add_argument("works", nargs="*", metavar="WORK", help=f"of {', '.join(WORKS)}; all if left out")
    options = parser.parse_args(arguments)
    is_clean = True
    for name in options.works or WORKS:
        for store in STORES:
            count, begun = max(1, round(WORKS[name][1] * options.share)), time.monotonic()
            grown, memory = check(name, store, count)
            is_clean = is_clean and not grown
            said = "; ".join(grown) or "nothing left behind"
            seconds = time.monotonic() - begun
            print(f"{count:>9,} {name:<8} {store:<7} {said}, {memory:+,} bytes, {seconds:,.0f} s", flush=True)
    return 0 if is_clean else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
