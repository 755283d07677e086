"""The pytest plugin, as a project of a user's has it."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

ROOT = Path(__file__).resolve().parent.parent.parent
IS_INSTALLED = any(found.name == "phasm" for found in entry_points(group="pytest11"))

TESTS = """
from tests.machines import Deposit, Wallet
from phasm_fdb import Layer, NondeterminismError, Subspace
from layers.counter.workload import CounterWorkload
from tests.simulation.machines import BreaksWorkload, TossesWorkload
import pytest, random

def test_database(phasm_db):
    wallets = Layer(Wallet(), Subspace(("plugin",)))
    assert wallets.apply(phasm_db, Deposit("ann", 5)).reply == 5

class Random(Wallet):
    def stf(self, state, input, actions):
        return random.random()

def test_guard(phasm_db):
    with pytest.raises(NondeterminismError, match="random"):
        Layer(Random(), Subspace(("plugin",))).apply(phasm_db, Deposit("ann", 5))

def test_holds(simulate):
    assert simulate(CounterWorkload, ops=20).seeds == {seeds}

def test_tosses(simulate):
    simulate(TossesWorkload, seeds=1, ops=5)

def test_wrong(simulate):
    simulate(BreaksWorkload, seeds=1, ops=300)
"""


Run = Callable[..., pytest.RunResult]


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs pytest on `TESTS` with some arguments."""
    monkeypatch.delenv("PHASM_TEST_CLUSTER_FILE", raising=False)
    monkeypatch.syspath_prepend(ROOT)

    def run_with(*arguments: str, seeds: int = 20) -> pytest.RunResult:
        pytester.makepyfile(test_user=TESTS.replace("{seeds}", str(seeds)))
        plugin = () if IS_INSTALLED else ("-p", "phasm_fdb.testing.plugin")
        return pytester.runpytest(*plugin, "-p", "no:asyncio", "-rs", *arguments)

    return run_with


def test_a_database_test_runs_on_each_and_says_why_it_skips_one(run: Run) -> None:
    result = run("-k", "test_database or test_guard")
    result.assert_outcomes(passed=4, skipped=2)
    result.stdout.fnmatch_lines("*no cluster: PHASM_TEST_CLUSTER_FILE names the cluster file*")


def test_the_databases_can_be_chosen(run: Run) -> None:
    run("-k", "test_database", "--phasm-databases", "memory").assert_outcomes(passed=1)


def test_the_guard_can_be_switched_off(run: Run) -> None:
    result = run("-k", "test_guard", "-o", "phasm_guard=off", "--phasm-databases", "memory")
    result.assert_outcomes(failed=1)


def test_simulate_reads_the_machine_first(run: Run) -> None:
    result = run("-k", "test_tosses")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["Tosses is not deterministic:", "*machines.py:*: random: `random.random`*"])


def test_the_lint_can_be_switched_off(run: Run) -> None:
    result = run("-k", "test_tosses", "-o", "phasm_lint=false")
    result.assert_outcomes(failed=1)
    result.stdout.no_fnmatch_line("*is not deterministic:*")
    result.stdout.fnmatch_lines("*violated: NondeterminismError: Tosses.stf calls random.random()*")


def test_the_seeds_are_the_command_lines(run: Run) -> None:
    run("-k", "test_holds", "--phasm-seeds", "3", seeds=3).assert_outcomes(passed=1)


def test_a_violation_fails_with_a_short_program(run: Run, pytester: pytest.Pytester) -> None:
    result = run("-k", "test_wrong")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*violated: ZeroDivisionError: a bug*", "*shrunk to * choices*", "*1.*Buy(*"])
    saved = next(pytester.path.glob(".pytest_cache/d/phasm/BreaksWorkload_*.phasm"))
    assert "# workload: tests.simulation.machines:BreaksWorkload" in saved.read_text()
    assert list(saved.parent.glob("test_breaks_workload_*.py"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--phasm-databases", "redis"), "there is no redis"),
        (("--phasm-seeds", "0"), "must be at least 1"),
        (("--phasm-time", "0"), "must be positive"),
    ],
)
def test_options_that_mean_nothing_are_refused(run: Run, arguments: tuple[str, ...], message: str) -> None:
    result = run(*arguments)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(f"*{message}*")
