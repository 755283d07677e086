"""Many runs, seed after seed."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace

from phasm_fdb.simulation.result import Result, Violation, combine
from phasm_fdb.simulation.runner import Made, simulate

#: Below so many operations a `sometimes` property that never held says nothing.
ENOUGH_OPERATIONS = 1000


def sweep(
    workload: Made,
    *,
    seed: int = 0,
    seeds: int | None = None,
    ops: int = 1000,
    seconds: float | None = None,
    workers: int | None = None,
    faults: str | Mapping[str, float] = "default",
    keep_events: bool = False,
    progress: Callable[[Result], None] = lambda result: None,
    clock: Callable[[], float] = time.monotonic,
) -> Result:
    """Run a workload with one seed after the other.

    Args:
        workload: as for `simulate`.
        seed: the first seed.
        seeds: how many; None for 1, or with `seconds` for as many as the time allows.
        ops: operations of each run.
        workers, faults: as for `simulate`.
        seconds: start no run after so much real time.
        keep_events: let `progress` see every event of each run.
        progress: told of each run's result.
        clock: real time in seconds.

    Returns:
        All results as one. A `sometimes` property that held in no run is a violation, if the runs were long enough.
    """
    if seeds is None and seconds is None:
        seeds = 1
    end = None if seconds is None else clock() + seconds
    results: list[Result] = []
    while (seeds is None or len(results) < seeds) and (end is None or not results or clock() < end):
        result = simulate(
            workload, seed=seed + len(results), ops=ops, workers=workers, faults=faults, keep_events=keep_events
        )
        progress(result)
        results.append(replace(result, events=()))
    together = combine(results)
    return replace(together, violations=(*together.violations, *never(together, seed, ops)))


def never(together: Result, seed: int, ops: int) -> list[Violation]:
    """The `sometimes` properties that held at the end of no run, as violations; none if there was too little to see."""
    if together.operations < ENOUGH_OPERATIONS or together.violations:
        return []
    return [
        Violation(seed, ops + 1, f"{event}: held at the end of none of {together.seeds} runs")
        for event, number in sorted(together.counts.items())
        if event.startswith("sometimes ") and number == 0
    ]
