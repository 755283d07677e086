"""A run gives back what it opened, however it ends: files, connections, and what the workload holds."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from layers.dentist_booking.workload import BookingWorkload
from phasm_fdb.simulation import Workload, simulate
from phasm_fdb.simulation.run.runner import simulate_with
from phasm_fdb.simulation.settings import Settings
from scripts.resources import Holdings
from tests.simulation import machines


class Bank(machines.ShopWorkload):
    """Keeps its books in a database in memory."""

    opened: list[sqlite3.Connection] = []

    def __init__(self) -> None:
        self.books = sqlite3.connect(":memory:")
        self.opened.append(self.books)

    def close(self) -> None:
        self.books.close()


class FailingBank(Bank):
    machine = machines.Breaks


class CannotClose(machines.ShopWorkload):
    def close(self) -> None:
        raise OSError("the books are stuck")


@pytest.mark.parametrize("workload", [Bank, FailingBank])
def test_the_workload_is_closed(workload: type[Bank]) -> None:
    Bank.opened.clear()
    assert simulate(workload, ops=30).held == (workload is Bank)
    [books] = Bank.opened
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        books.execute("select 1")


def test_what_close_raises_is_a_violation() -> None:
    [violation] = simulate(CannotClose, ops=5).violations
    assert violation.invariant == "OSError: the books are stuck"


@pytest.mark.parametrize("workload", [machines.ShopWorkload, BookingWorkload])
def test_a_run_on_a_file_that_loses_power_leaves_no_descriptor(workload: type[Workload], tmp_path: Path) -> None:
    settings = Settings(seed=3, ops=60, reopens=True, faults={"torn tail": 0.05, "crash": 0.05})
    simulate_with(workload, settings)
    before = Holdings.now(tmp_path)
    result = simulate_with(workload, settings)
    assert result.held
    assert result.counts["fault torn tail"] > 1
    assert Holdings.now(tmp_path).more_than(before) == {}
