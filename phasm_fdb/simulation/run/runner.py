"""Simulate a workload: from one seed, from a list of choices, or from one seed after the other."""

from __future__ import annotations

import copy
import time
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from phasm_fdb.errors import InvariantViolation
from phasm_fdb.simulation.choices import Choice, Choices
from phasm_fdb.simulation.run.result import Result, Violation, combine
from phasm_fdb.simulation.run.run import Run
from phasm_fdb.simulation.settings import DEFAULT_OPS, Settings, draw
from phasm_fdb.simulation.workload import Workload

#: A workload, or what makes one.
Made = Workload | Callable[[], Workload]


def simulate(
    workload: Made,
    *,
    seed: int = 0,
    ops: int = DEFAULT_OPS,
    workers: int | None = None,
    faults: str | Mapping[str, float] = "default",
    keep_events: bool = False,
) -> Result:
    """Run a workload once.

    Args:
        workload: the class, or a function that makes one; an object is copied, so that a run leaves it as it was.
        seed: decides everything. The same seed gives the same digest, in another process too.
        ops: how many operations, each an input or a completion.
        workers: how many workers; left out, the seed says, from 1 to 4.
        faults: "none", "default", "heavy", or the probability of each kind of fault at one decision (see
            `phasm_fdb.simulation.faults.KINDS`).
        keep_events: keep every event, for a report.

    Returns:
        The result; what went wrong is in its `violations`, and is not raised.
    """
    kinds = faults if isinstance(faults, str) else dict(faults)
    settings = draw(seed, ops=ops, workers=workers, kinds=kinds)
    return simulate_with(workload, settings, keep_events=keep_events)


def simulate_with(workload: Made, settings: Settings, *, keep_events: bool = False) -> Result:
    """Run a workload once, with settings that need not be those which its seed would draw."""
    return _result(Run(_fresh(workload), settings, Choices.by_chance(settings.seed), keep_events))


def play(workload: Made, settings: Settings, choices: Iterable[Choice], *, keep_events: bool = False) -> Result:
    """Run a workload by a list of choices, as a result has them.

    Args:
        settings: of the run that the choices were taken from.
        choices: all of them, or some: what is missing falls back to its default.
        keep_events: keep every event, for a report.
    """
    return _result(Run(_fresh(workload), settings, Choices.played(choices), keep_events))


def _fresh(workload: Made) -> Workload:
    return copy.deepcopy(workload) if isinstance(workload, Workload) else workload()


def _result(run: Run) -> Result:
    run.execute()
    counts = run.trace.counts
    violation = _violation(run)
    return Result(
        seeds=1,
        operations=run.operations,
        transitions=counts["transitions"],
        rejections=sum(number for event, number in counts.items() if event.startswith("rejected ")),
        crashes=counts["crash"],
        virtual_seconds=round(run.virtual_seconds, 3),
        counts=dict(counts),
        violations=() if violation is None else (violation,),
        digest=run.trace.digest,
        settings=run.settings,
        choices=tuple(run.choices.taken),
        events=tuple(run.trace.events or ()),
    )


def _violation(run: Run) -> Violation | None:
    error = run.error
    if error is None:
        return None
    if isinstance(error, InvariantViolation | AssertionError):
        what = str(error) or "an assertion failed"
    else:
        what = f"{type(error).__name__}: {error}"
    input = getattr(error, "input", None)
    shown = run.input if input is None else input
    details = "".join(traceback.format_exception(error))
    return Violation(run.settings.seed, run.step, what, None if shown is None else _repr(shown), details)


def _repr(input: object) -> str:
    payload = getattr(input, "payload", None)
    return repr(input if payload is None else payload)


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
