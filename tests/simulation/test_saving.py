"""Failing runs as files: saved, replayed, told in steps, and offered as regression tests."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from phasm_fdb.simulation import replay, simulate
from phasm_fdb.simulation.aftermath import investigate
from phasm_fdb.simulation.regression import test_file as text_of_test
from phasm_fdb.simulation.saving import NotAProgram, SavedRun, load
from phasm_fdb.simulation.steps import steps
from tests.simulation import machines

ROOT = Path(__file__).resolve().parent.parent.parent
BREAKS = "tests.simulation.machines:BreaksWorkload"


@pytest.fixture(scope="module")
def finding() -> Any:
    return investigate(machines.BreaksWorkload, BREAKS, simulate(machines.BreaksWorkload, ops=100))


def test_a_saved_run_is_the_same_run() -> None:
    run = simulate(machines.ShopWorkload, seed=3, ops=60)
    saved = SavedRun.of("tests.simulation.machines:ShopWorkload", run)
    again = SavedRun.from_text(saved.to_text())
    assert again == saved
    assert again.play().digest == run.digest


def test_a_replayed_program_fails_until_the_bug_is_gone(finding: Any) -> None:
    text = finding.saved.to_text()
    assert replay(text).violations[0].invariant == finding.saved.fails == "ZeroDivisionError: a bug"
    assert replay(text, machines.ShopWorkload).held


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no lines '# workload: ...'"),
        ("# workload: a:B\n", "no lines"),
        ("# workload: a:B\n# settings: {\n", "Expecting"),
        ("# workload: a:B\n# settings: []\n", "another version"),
        ('# workload: a:B\n# settings: {"seed": 1, "speed": 2}\n', "another version"),
        ('# workload: a:B\n# settings: {"seed": 1}\nop 1 | execute\n', "line 3 is no choice"),
    ],
)
def test_what_is_no_saved_run_says_why(text: str, says: str, tmp_path: Path) -> None:
    path = tmp_path / "run.phasm"
    path.write_text(text)
    with pytest.raises(NotAProgram, match=says):
        load(path)
    with pytest.raises(NotAProgram, match="cannot read"):
        load(tmp_path / "none.phasm")


def test_the_steps_tell_what_happened(finding: Any) -> None:
    lines = steps(finding.run).splitlines()
    assert lines[0].startswith("seed ") and lines[0].endswith("with 1 client, 1 worker, 1 lane:")
    assert "client 1: apply Buy(amount=" in lines[1]
    assert lines[-1].endswith("!! violated: a bug")
    assert finding.text().startswith("shrunk to 1 choices in ")


def test_a_fault_is_a_step_with_its_meaning() -> None:
    run = simulate(machines.ShopWorkload, seed=1, ops=40, faults={"1021 done": 0.3}, keep_events=True)
    text = steps(run)
    assert "fault 1021 done (1): a commit is done, and its outcome unknown" in text
    assert "client 1: " in text and "op 1: " not in text


def test_many_steps_are_cut_in_the_middle() -> None:
    run = simulate(machines.ShopWorkload, seed=1, ops=300, keep_events=True)
    lines = steps(run).splitlines()
    assert len(lines) == 201
    assert lines[100].strip().endswith("more lines")


def test_the_regression_test_fails_as_it_stands_and_is_saved(finding: Any, tmp_path: Path) -> None:
    program, test = finding.save(tmp_path / "deep" / "folder")
    assert load(program) == finding.saved
    assert test.read_text() == text_of_test(finding.saved)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(test)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "ZeroDivisionError: a bug" in done.stdout
    fixed = test.read_text().replace(BREAKS, "tests.simulation.machines:ShopWorkload")
    test.write_text(fixed)
    assert subprocess.run(command, cwd=ROOT, capture_output=True, check=False).returncode == 0


def test_a_regression_test_survives_any_message() -> None:
    run = simulate(machines.ShopWorkload, ops=3)
    saved = SavedRun.of("a:B", run)
    for fails in ('a """quoted""" thing: \\ no', "'", "1 2 3", 'ends with "'):
        text = text_of_test(SavedRun(saved.workload, saved.settings, saved.choices, fails))
        names: dict[str, Any] = {}
        exec(compile(text, "test", "exec"), names)
        assert SavedRun.from_text(names["PROGRAM"]).choices == saved.choices
        assert [name for name in names if name.startswith("test_")]
