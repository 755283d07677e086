#!/usr/bin/env python3
"""Check that a process which works for long holds no more in the end than in the beginning: `scripts/resources.py`.

It applies 200,000 inputs, opens and closes 10,000 databases, and starts and stops 1,000 workers, on the memory store
and on a file, and compares threads, descriptors, memory and the file with what they were after the first of them.
Nothing is measured in time: time is virtual, and moves on with each input. Exit status 1 if anything has grown.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import itertools
import random
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
#: Tables of Python grow in steps, so that much more memory is no leak; and beyond that so many bytes for each.
NOISE_BYTES, BYTES_EACH = 400_000, 8


@dataclass(frozen=True)
class Holdings:
    """What the process holds at one moment, after everything that can be freed has been.

    Attributes:
        threads: by name.
        files: what the open descriptors lead to.
        memory: bytes that Python has allocated, as far as `tracemalloc` is on.
    """

    threads: Counter[str]
    files: Counter[str]
    memory: int

    @classmethod
    def now(cls) -> Holdings:
        """Look at this process."""
        for _ in range(3):  # a finalizer may free what only the next collection finds
            gc.collect()
        threads = Counter(thread.name for thread in threading.enumerate())
        files = Counter(map(_target, DESCRIPTORS.iterdir()))
        return cls(threads, files, tracemalloc.get_traced_memory()[0])

    def more_than(self, before: Holdings) -> dict[str, int]:
        """The threads and descriptors that were not there before."""
        return {**(self.threads - before.threads), **(self.files - before.files)}


def _target(descriptor: Path) -> str:
    try:
        return str(descriptor.readlink())
    except FileNotFoundError:  # the one that the list was read through
        return "(gone)"


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
    _fill_log(db)
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
    _fill_log(db)

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


def _fill_log(db: Any) -> None:
    """Write so much that the file's log is written back once: the connection for that stays in the pool."""
    for _ in range(5):
        tr = db.create_transaction()
        for number in range(90):
            tr.set(b"filler %d" % number, bytes(90_000))
        tr.commit().wait()
    db.clear_range(b"filler", b"filles")


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
            work(max(1, count // WARM_UP))
            before, disk = Holdings.now(), _size(Path(folder))
            work(count)
            after, disk = Holdings.now(), _size(Path(folder)) - disk
        finally:
            tracemalloc.stop()
    grown = [f"{more} more of {what}" for what, more in after.more_than(before).items()]
    memory = after.memory - before.memory
    for more, where in ((memory, "in memory"), (disk, "on disk")):
        if more > NOISE_BYTES + BYTES_EACH * count:
            grown.append(f"{more:,} bytes more {where}")
    return grown, memory


def _size(folder: Path) -> int:
    """The bytes of the databases in a folder, without their logs, which grow until they are written back."""
    return sum(file.stat().st_size for file in folder.glob("*.phasm"))


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
