"""Simulating a workload once: from a seed, or from a list of choices."""

from __future__ import annotations

import copy
import traceback
from collections.abc import Callable, Iterable, Mapping

from phasm_fdb.errors import InvariantViolation
from phasm_fdb.simulation.choices import Choice, Choices
from phasm_fdb.simulation.result import Result, Violation
from phasm_fdb.simulation.run import Run
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
