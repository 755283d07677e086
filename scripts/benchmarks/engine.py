"""The embedded engine alone: reads, transactions, memory, conflict checks; and what an fsync costs on SQLite.

Every table is flat where the engine is: the columns on the right compare with its first row.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import random
import statistics
import tempfile
import threading
import time
import tracemalloc
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from phasm_fdb import aio
from phasm_fdb.database.port import Transaction
from phasm_fdb.database.waiting import wait
from phasm_fdb.embedded import Database, open_memory
from phasm_fdb.embedded.conflicts import ConflictHistory
from phasm_fdb.errors import FDBError
from scripts.benchmarks.measure import collector_paused, count, rate, table

READS = WRITES = 5
SAMPLES = 20
WRITERS = 16
VALUE = b"v" * 20


def run(argv: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="scripts/benchmark.py engine", description=__doc__)
    parser.add_argument("--keys", type=int, nargs="+", default=[1_000, 100_000, 1_000_000], help="sizes to compare")
    parser.add_argument("--seconds", type=float, default=2.0, help="how long each SQLite measurement runs")
    options = parser.parse_args(argv)
    _memory(options.keys)
    _memory_use(min(100_000, max(options.keys)))
    _conflicts()
    _sqlite(min(100_000, max(options.keys)), options.seconds)


# ----------------------------------------------------------------------------------------------------------
# memory


class _Clock:
    """The real clock, which can be put forward: recent changes are then old ones, as in a database that
    rests.
    """

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.ahead


def _key(number: int) -> bytes:
    return b"key/%09d" % number


def _filled(db: Database, keys: int) -> Database:
    for first in range(0, keys, 1000):
        tr = db.create_transaction()
        for number in range(first, min(first + 1000, keys)):
            tr.set(_key(number), VALUE)
        tr.commit().wait()
    return db


def _rested_memory(keys: int) -> Database:
    """A filled memory database whose filling is longer ago than the window."""
    clock = _Clock()
    db = _filled(open_memory(clock=clock), keys)
    clock.ahead = 6.0
    # Every commit drops a few of the old changes: enough of them drop all.
    for _ in range(keys // 16 + 1000):
        db[b"rest"] = b""
    clock.ahead = 12.0
    for _ in range(keys // 16 + 1000):
        db[b"rest"] = b""
    return db


def _transaction(db: Database, keys: Sequence[bytes]) -> None:
    _begun(db, keys).commit().wait()


def _begun(db: Any, keys: Sequence[bytes]) -> Transaction:
    """A transaction that has read and written, and is to be committed."""
    tr = db.create_transaction()
    for key in keys[:READS]:
        tr.get(key).wait()
    for key in keys[READS:]:
        tr.set(key, VALUE)
    return tr


def _microseconds(work: Callable[[Sequence[bytes]], None], batches: Sequence[Sequence[bytes]]) -> float:
    """The median time of `work(batch)`, of runs over all batches, with no garbage collection in between.

    It is the thread's own time: where nothing waits for a disk, that is what a machine of one's own would
    show.
    """
    each = len(batches) // SAMPLES
    times = []
    with collector_paused():
        for sample in range(SAMPLES):
            started = time.thread_time()
            for batch in batches[sample * each : (sample + 1) * each]:
                work(batch)
            times.append((time.thread_time() - started) / each)
    return min(times) * 1e6


def _batches(keys: int, size: int, number: int) -> list[list[bytes]]:
    """Random keys, as a program makes them: new bytes each time."""
    rng = random.Random(1)
    return [[_key(rng.randrange(keys)) for _ in range(size)] for _ in range(number)]


def _memory(sizes: Sequence[int]) -> None:
    body: list[list[object]] = []
    first: list[float] = []
    for keys in sizes:
        db = _rested_memory(keys)

        def many_reads(batch: Sequence[bytes], db: Database = db) -> None:
            tr = db.create_transaction()
            for key in batch:
                tr.get(key).wait()

        def one_range(batch: Sequence[bytes], db: Database = db) -> None:
            list(db.create_transaction().get_range(batch[0], b"\xff", limit=10))

        batches = _batches(keys, 10, 8000)
        figures = [
            _dict_lookup(keys),
            _microseconds(many_reads, _batches(keys, 50, 2000)) / 50,
            _microseconds(lambda batch, db=db: _transaction(db, batch), batches),  # type: ignore[misc]
            _microseconds(one_range, batches),
        ]
        first = first or figures
        body.append([count(keys), *(f"{figure:.2f}" for figure in figures), *_ratios(figures[1:], first[1:])])
        del db
        gc.collect()
    table(
        f"memory, in microseconds; a transaction is {READS} reads and {WRITES} writes, a get is one of 50 in one",
        ["keys", "a dict's get", "get", "transaction", "range of 10", "get x", "transaction x", "range x"],
        body,
    )


def _dict_lookup(keys: int) -> float:
    """What a look into a plain dict of as many keys takes: the part of a read that grows by the CPU's caches alone."""
    plain = dict.fromkeys(map(_key, range(keys)), VALUE)

    def many_lookups(batch: Sequence[bytes]) -> None:
        for key in batch:
            plain.get(key)

    return _microseconds(many_lookups, _batches(keys, 50, 2000)) / 50


def _ratios(figures: Sequence[float], first: Sequence[float]) -> list[str]:
    return [f"{figure / base:.2f}" for figure, base in zip(figures, first, strict=True)]


def _memory_use(keys: int) -> None:
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    db = _filled(open_memory(), keys)
    fresh = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    del db
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    db = _rested_memory(keys)
    gc.collect()
    rested = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    del db
    payload = len(_key(0)) + len(VALUE)
    table(
        f"memory, bytes per key ({payload} of them the key's and the value's own)",
        ["", "per key"],
        [["just written", f"{fresh / keys:.0f}"], ["older than the window", f"{rested / keys:.0f}"]],
    )


# -------------------------------------------------------------------------------------------------------
# conflicts


def _conflicts() -> None:
    """A check of one range, and of one key, against histories of growing size."""
    body: list[list[object]] = []
    first: list[float] = []
    for writes in (1_000, 10_000, 100_000, 500_000):
        rng = random.Random(1)
        history = ConflictHistory()
        started = time.perf_counter()
        for version in range(1, writes // WRITES + 1):
            history.add(version, [_key(rng.randrange(writes * 10)) for _ in range(WRITES)], ())
        add = (time.perf_counter() - started) / (writes // WRITES) * 1e6
        latest = writes // WRITES
        questions = [[_key(rng.randrange(writes * 10))] for _ in range(4000)]

        def middle(batch: Sequence[bytes], history: ConflictHistory = history, since: int = latest // 2) -> None:
            history.conflicts(since, (), [(batch[0], batch[0] + b"\0")])

        def one_key(batch: Sequence[bytes], history: ConflictHistory = history, since: int = latest // 2) -> None:
            history.conflicts(since, batch, ())

        figures = [_microseconds(middle, questions), _microseconds(one_key, questions), add]
        first = first or figures
        body.append([count(writes), *(f"{figure:.2f}" for figure in figures), *_ratios(figures, first)])
    table(
        "conflict check against recent writes, in microseconds; the snapshot is half as old as the history",
        ["writes", "a range", "a key", f"adding {WRITES}", "range x", "key x", "adding x"],
        body,
    )


# ----------------------------------------------------------------------------------------------------------
# sqlite


def _sqlite(keys: int, seconds: float) -> None:
    from phasm_fdb.embedded import open_sqlite

    with tempfile.TemporaryDirectory(prefix="phasm-benchmark-") as directory:
        db = _filled(open_sqlite(Path(directory) / "normal.sqlite", synchronous="normal"), keys)
        batches = _batches(keys, READS + WRITES, 2000)
        normal = 1e6 / rate(lambda n: _transaction(db, batches[n % len(batches)]), seconds)[0]
        db.close()
        full = _filled(open_sqlite(Path(directory) / "full.sqlite", synchronous="full"), keys)
        one = _commits_a_second(full, 1, keys, seconds)
        many = _commits_a_second(full, WRITERS, keys, seconds)
        tasks = asyncio.run(_commits_of_tasks_a_second(full, WRITERS, keys, seconds))
        full.close()
        sync = _sync_us(Path(directory) / "synced")
    table(
        f"SQLite with {count(keys)} keys; a transaction is {READS} reads and {WRITES} writes; an fsync of 4 kB takes "
        f"{sync:,.0f} us here, which is all that a group commit can save",
        ["", "transactions a second", "us each", "x"],
        [
            [
                "synchronous normal (no fsync), 1 writer",
                count(1e6 / normal),
                f"{normal:.0f}",
                f"{1e6 / normal / one:.1f}",
            ],
            ["fsync, 1 writer", count(one), f"{1e6 / one:.0f}", "1.0"],
            [f"fsync, {WRITERS} writers: threads", count(many), f"{1e6 / many:.0f}", f"{many / one:.1f}"],
            [f"fsync, {WRITERS} writers: tasks of one loop", count(tasks), f"{1e6 / tasks:.0f}", f"{tasks / one:.1f}"],
        ],
    )


def _commits_a_second(db: Database, writers: int, keys: int, seconds: float) -> float:
    """Acknowledged transactions a second, of so many threads, each on keys of its own."""
    done = [0] * writers
    until = time.perf_counter() + seconds

    def write(number: int) -> None:
        rng = random.Random(number)
        span = keys // writers
        while time.perf_counter() < until:
            _retried(db, [_key(number * span + rng.randrange(span)) for _ in range(READS + WRITES)])
            done[number] += 1

    threads = [threading.Thread(target=write, args=(number,)) for number in range(writers)]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(done) / (time.perf_counter() - started)


async def _commits_of_tasks_a_second(db: Database, writers: int, keys: int, seconds: float) -> float:
    """The same of so many tasks of one event loop."""
    done = 0
    until = time.perf_counter() + seconds

    async def write(number: int) -> None:
        nonlocal done
        rng = random.Random(number)
        span = keys // writers
        while time.perf_counter() < until:
            await aio.run(_retried, db, [_key(number * span + rng.randrange(span)) for _ in range(READS + WRITES)])
            done += 1

    started = time.perf_counter()
    await asyncio.gather(*[write(number) for number in range(writers)])
    return done / (time.perf_counter() - started)


def _sync_us(path: Path) -> float:
    """What an fsync of 4 kB takes on this disk: the median of 200."""
    took = []
    with path.open("wb") as file:
        for _ in range(200):
            file.write(bytes(4096))
            file.flush()
            began = time.perf_counter()
            os.fsync(file.fileno())
            took.append(time.perf_counter() - began)
    return statistics.median(took) * 1e6


def _retried(db: Any, keys: Sequence[bytes]) -> None:
    while True:
        try:
            wait(_begun(db, keys).commit())
            return
        except FDBError as error:
            if not error.retryable:
                raise
