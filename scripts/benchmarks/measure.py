"""Timing for the benchmarks: rates that can be compared within one run, and tables that show them."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager


def rate(work: Callable[[int], object], seconds: float = 1.0, first: int = 0) -> tuple[float, int]:
    """Call `work(n)` with n growing from `first` for about `seconds`.

    Returns:
        How many calls a second, and the next n.
    """
    n = first
    for _ in range(50):
        work(n)
        n += 1
    with collector_paused():
        started, measured_from = time.perf_counter(), n
        until = started + seconds
        while time.perf_counter() < until:
            for _ in range(20):
                work(n)
                n += 1
        return (n - measured_from) / (time.perf_counter() - started), n


@contextmanager
def collector_paused() -> Iterator[None]:
    """Collect garbage before a measurement instead of in the middle of it."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def table(title: str, header: Sequence[str], body: Sequence[Sequence[object]]) -> None:
    """Print rows under a header, the first column to the left and the others to the right."""
    rows = [[str(cell) for cell in row] for row in (header, *body)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(header))]
    print(f"\n{title}")
    for row in rows:
        cells = (
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        print("  " + "  ".join(cells))


def count(number: float) -> str:
    """A number with separators: 12,345."""
    return f"{number:,.0f}"
