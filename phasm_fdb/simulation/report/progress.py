"""How far a sweep has come: seeds, operations, faults and rate, in a bar where rich is installed and somebody looks."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from phasm_fdb.simulation.run.result import Result


class Tally:
    """What the runs so far amount to.

    Args:
        clock: real time in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._begun = clock()
        self.seeds = 0
        self.operations = 0
        self.faults = 0
        self.transitions = 0
        self.violated = 0

    def add(self, result: Result) -> None:
        """Count one run."""
        self.seeds += result.seeds
        self.operations += result.operations
        self.transitions += result.transitions
        self.violated += len(result.violations)
        self.faults += sum(number for name, number in result.counts.items() if name.startswith("fault "))

    @property
    def line(self) -> str:
        """All of it in one line."""
        seconds = max(1e-9, self._clock() - self._begun)
        violated = f", {self.violated} violated" if self.violated else ""
        return (
            f"{self.seeds:,} seeds, {self.operations:,} operations, {self.faults:,} faults, "
            f"{self.transitions / seconds:,.0f} transitions/s{violated}"
        )


@contextmanager
def shown(seeds: int | None, is_wanted: bool) -> Iterator[Callable[[Result], None]]:
    """Show progress on the standard error; gives what is to be told of each run's result.

    Args:
        seeds: how many there will be, if that is known.
        is_wanted: False to show nothing.
    """
    tally = Tally()
    bar = _bar(seeds) if is_wanted and sys.stderr.isatty() else None
    if bar is None:
        yield tally.add
        return
    progress, task = bar

    def tell(result: Result) -> None:
        tally.add(result)
        progress.update(task, advance=1, description=tally.line)

    with progress:
        yield tell


def _bar(seeds: int | None) -> tuple[Any, Any] | None:
    """A bar of rich; None where that is not installed."""
    try:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
    except ImportError:
        return None
    columns = (BarColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    progress = Progress(*columns, console=Console(stderr=True), transient=True)
    return progress, progress.add_task("starting", total=seeds)
