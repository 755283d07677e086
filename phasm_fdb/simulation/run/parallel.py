"""Many seeds in several processes, some of them twice: a seed gives the same digest everywhere, or that is a violation.

The second run of a seed is made in another process, with another PYTHONHASHSEED, so what depends on addresses, on the
order of sets, or on what ran before shows.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from phasm_fdb.simulation.run.result import Result, Violation, combine
from phasm_fdb.simulation.run.runner import never, simulate
from phasm_fdb.simulation.settings import DEFAULT_OPS
from phasm_fdb.simulation.workload import load_workload

#: Every so manieth seed is run twice: 5 %.
REPEATED = 20
#: How many seeds each process has before it, so that none waits.
AHEAD = 2


@dataclass(frozen=True, slots=True)
class Mission:
    """What to simulate.

    Attributes:
        workload: its name, `MODULE:WORKLOAD`.
        seed: the first seed.
        seeds: how many; None for 1, or with `seconds` for as many as the time allows.
        seconds: start no run after so much real time.
        ops, workers, faults, keep_events: as for `simulate`.
        jobs: how many processes.
    """

    workload: str
    seed: int = 0
    seeds: int | None = None
    seconds: float | None = None
    ops: int = DEFAULT_OPS
    workers: int | None = None
    faults: str | Mapping[str, float] = field(default="default")
    keep_events: bool = False
    jobs: int = 1

    def run(self, seed: int) -> Result:
        """Run one seed, here."""
        return simulate(
            load_workload(self.workload),
            seed=seed,
            ops=self.ops,
            workers=self.workers,
            faults=self.faults,
            keep_events=self.keep_events,
        )


def fly(
    mission: Mission,
    progress: Callable[[Result], None] = lambda result: None,
    clock: Callable[[], float] = time.monotonic,
) -> Result:
    """Run all seeds of a mission.

    Args:
        progress: told of each run's result, in the order of the seeds.
        clock: real time in seconds.

    Returns:
        All results as one. A digest that is not repeated is a violation, and a `sometimes` property that never held.
    """
    results: list[Result] = []
    repeats: dict[int, Future[str]] = {}
    with _other_processes(mission) as pool:
        for result in _results(mission, pool, clock):
            progress(result)
            number = len(results)
            results.append(replace(result, events=(), choices=result.choices if not result.held else ()))
            if number % REPEATED == 0:
                repeats[number] = pool.submit(_digest, mission, mission.seed + number)
        different = [
            Violation(
                mission.seed + number,
                0,
                f"repeatable: seed {mission.seed + number} gave the digest {results[number].digest}, and "
                f"{again.result()} in another process: something depends on more than the seed",
            )
            for number, again in repeats.items()
            if again.result() != results[number].digest
        ]
    together = combine(results)
    counts = {**together.counts, "seeds repeated": len(repeats)}
    violations = (*together.violations, *different)
    together = replace(together, counts=counts, violations=violations)
    return replace(together, violations=(*violations, *never(together, mission.seed, mission.ops)))


def _results(mission: Mission, pool: ProcessPoolExecutor, clock: Callable[[], float]) -> Iterator[Result]:
    """The results, in the order of the seeds."""
    seeds = 1 if mission.seeds is None and mission.seconds is None else mission.seeds
    end = None if mission.seconds is None else clock() + mission.seconds
    started = 0

    def may_start() -> bool:
        return (seeds is None or started < seeds) and (end is None or started == 0 or clock() < end)

    if mission.jobs == 1:
        while may_start():
            yield mission.run(mission.seed + started)
            started += 1
        return
    under_way: list[Future[Result]] = []
    while True:
        while len(under_way) < AHEAD * mission.jobs and may_start():
            under_way.append(pool.submit(_run, mission, mission.seed + started))
            started += 1
        if not under_way:
            return
        yield under_way.pop(0).result()


@contextmanager
def _other_processes(mission: Mission) -> Iterator[ProcessPoolExecutor]:
    """Processes with a hash seed that differs from this one's."""
    before = os.environ.get("PYTHONHASHSEED")
    os.environ["PYTHONHASHSEED"] = "1" if before != "1" else "2"
    context = multiprocessing.get_context("spawn")
    try:
        with ProcessPoolExecutor(mission.jobs, context, initializer=_begin, initargs=(sys.path,)) as pool:
            yield pool
    finally:
        if before is None:
            del os.environ["PYTHONHASHSEED"]
        else:
            os.environ["PYTHONHASHSEED"] = before


def _begin(path: list[str]) -> None:
    """A process begins: it finds modules where this one does."""
    sys.path[:] = path


def _run(mission: Mission, seed: int) -> Result:
    result = mission.run(seed)
    return result if not result.held else replace(result, choices=())


def _digest(mission: Mission, seed: int) -> str:
    return mission.run(seed).digest
