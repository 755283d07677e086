"""Failing runs as files: saved, replayed, told in steps, and offered as regression tests."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phasm_fdb.simulation import replay, simulate
from phasm_fdb.simulation.report.steps import steps
from phasm_fdb.simulation.run.saving import NotAProgram, SavedRun, load
from phasm_fdb.simulation.shrinking.triage import investigate
from phasm_fdb.simulation.shrinking.triage import test_file as text_of_test
from tests.simulation import machines

ROOT = Path(__file__).resolve().parent.parent.parent
BREAKS = "tests.simulation.machines:BreaksWorkload"


def forged(*choices: str, **settings: Any) -> str:
    """A saved run that somebody has written by hand."""
    head = f"# workload: a:B\n# settings: {json.dumps({'seed': 1, **settings})}\n"
    return head + "".join(f"{choice}\n" for choice in choices)


@pytest.fixture(scope="module")
def finding() -> Any:
    return investigate(machines.BreaksWorkload, BREAKS, simulate(machines.BreaksWorkload, ops=100))


def test_a_saved_run_is_the_same_run() -> None:
    run = simulate(machines.ShopWorkload, seed=3, ops=60)
    saved = SavedRun.of("tests.simulation.machines:ShopWorkload", run)
    again = SavedRun.from_text(saved.to_text())
    assert again == saved
    assert again.play(saved.workload).digest == again.play(machines.ShopWorkload).digest == run.digest


def test_a_replayed_program_fails_until_the_bug_is_gone(finding: Any) -> None:
    text = finding.saved.to_text()
    assert replay(text, BREAKS).violations[0].invariant == finding.saved.fails == "ZeroDivisionError: a bug"
    assert replay(text, machines.ShopWorkload).held


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no lines '# workload: ...'"),
        ("# workload: a:B\n", "no lines"),
        ("# workload: a:B\n# settings: {\n", "Expecting"),
        ("# workload: a:B\n# settings: []\n", r"its settings are \[\], and must be an object"),
        ("# workload: a:B\n# settings: {}\n", "its seed is None"),
        (f"# workload: a:B\n# settings: {'[' * 100_000}\n", "its settings are nested too deeply"),
        ("# workload: import os; a:B\n# settings: {}\n", "must be MODULE:WORKLOAD"),
        (forged(speed=2), "its settings have 'speed', which this version does not know"),
        (forged(seed="x"), "its setting seed is 'x', which no run has"),
        (forged(seed=True), "its setting seed is True"),
        (forged(workers=10**9), "its setting workers is 1000000000"),
        (forged(workers=0), "its setting workers is 0"),
        (forged(lanes=1.5), "its setting lanes is 1.5"),
        (forged(lease_seconds=float("nan")), "its setting lease_seconds is nan"),
        (forged(lease_seconds="10"), "its setting lease_seconds is '10'"),
        (forged(modes=[0, 0, 0]), r"its setting modes is \[0, 0, 0\]"),
        (forged(modes=[{}]), "its setting modes is"),
        (forged(faults={"no such": 1}), "its setting faults is {'no such': 1}"),
        (forged(faults=7), "its setting faults is 7"),
        (forged(journal="yes"), "its setting journal is 'yes'"),
        (forged("op 1 | execute"), "line 3 is no choice"),
        (forged(f"op 1 | execute | 1 | {'[' * 100_000}"), "line 3 is no choice"),
        (forged("op 1 | execute | 1 | 3"), "a choice is 'op 1 | execute | 1 | 3', which no run has"),
        (forged('op 1 | execute | 1 | {"client": 1, "at": 0.0, "mode": "steal"}'), "no run has"),
        (forged('op 1 | execute | 1 | {"client": 1, "at": -Infinity, "mode": "apply"}'), "no run has"),
        (forged('ann | execute | 1 | {"client": 1, "at": 0.0, "mode": "apply"}'), "no run has"),
        (forged('op 1 | leave | 0 | {"client": 1, "at": 0.0, "mode": "apply"}'), "no run has"),
        (forged('worker 1 | pause | 1 | "long"'), "no run has"),
        (forged("worker 1 | pause | 1 | NaN"), "no run has"),
        (forged("loop | schedule | 1 | 1.5"), "no run has"),
        (forged("op 1 | 1020 | 1 | 7"), "no run has"),
        (forged("op 1 | explode | 1 | true"), "no run has"),
    ],
)
def test_what_is_no_saved_run_says_why(text: str, says: str, tmp_path: Path) -> None:
    path = tmp_path / "run.phasm"
    path.write_text(text)
    with pytest.raises(NotAProgram, match=says):
        load(path)
    with pytest.raises(NotAProgram, match="cannot read"):
        load(tmp_path / "none.phasm")


@given(data=st.data())
@settings(max_examples=200)
def test_a_file_that_was_changed_is_a_run_or_says_why_not(data: st.DataObject) -> None:
    text = forged('op 1 | execute | 1 | {"client": 1, "at": 0.0, "mode": "apply"}', "op 1 | 1021 done | 1 | 1")
    begin = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(begin, min(len(text), begin + 5)))
    with contextlib.suppress(NotAProgram):
        SavedRun.from_text(text[:begin] + data.draw(st.text(max_size=5)) + text[end:])


def test_what_a_file_names_is_not_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("evil.py").write_text("raise SystemExit('imported')")
    Path("run.phasm").write_text(forged().replace("a:B", "evil:Workload"))
    command = [sys.executable, "-c", "from phasm_fdb.cli import main; main()", "simulate"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}

    def phasm(*arguments: str) -> tuple[int, str]:
        done = subprocess.run([*command, *arguments], env=environment, capture_output=True, text=True, check=False)
        return done.returncode, done.stderr

    status, said = phasm("--replay", "run.phasm")
    assert status == 2
    assert said == (
        "phasm simulate: error: run.phasm is a run of evil:Workload, which is not imported because a file says so: "
        "phasm simulate evil:Workload --replay run.phasm\n"
    )
    told = phasm("evil:Workload", "--replay", "run.phasm")
    assert told == (2, "phasm simulate: error: cannot import evil: SystemExit: imported\n")
    shop = phasm("tests.simulation.machines:ShopWorkload", "--replay", "run.phasm")
    assert shop == (0, ""), "it is played with what was named"


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
