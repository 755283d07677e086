"""`scripts/simulate.py` as it is called: what it prints, and its exit status."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from layers.dentist_booking.scenarios import SCENARIOS
from phasm_fdb.cli.commands.simulate import Program, main
from phasm_fdb.simulation import Scenario
from tests.simulation import machines

PHASM = Program("phasm simulate")
ROOT = Path(__file__).resolve().parent.parent.parent
SCRIPT = ROOT / "scripts" / "simulate.py"


def run(*arguments: str, cwd: Path = ROOT, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(SCRIPT), *arguments],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )


def report(process: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """The one JSON object that it printed."""
    [line] = process.stdout.splitlines()
    result: dict[str, Any] = json.loads(line)
    return result


def test_the_default_workload_holds() -> None:
    process = run("--seeds", "2", "--ops", "150", "--json")
    assert (process.returncode, process.stderr) == (0, "")
    result = report(process)
    assert list(result) == [
        "seeds", "operations", "transitions", "rejections", "crashes", "virtual_seconds",
        "counts", "violations", "digest",
    ]  # fmt: skip
    assert (result["seeds"], result["operations"], result["violations"]) == (2, 300, [])
    assert result["counts"]["action Preauthorize"] > 0


@pytest.mark.parametrize(
    "workload", ["dentist_booking.workload:BookingWorkload", "coffee_shop.workload:CoffeeShopWorkload"]
)
def test_a_seed_has_one_digest_in_every_process(workload: str) -> None:
    arguments = (f"layers.{workload}", "--seed", "11", "--seeds", "2", "--ops", "200", "--json")
    first, again = (run(*arguments, PYTHONHASHSEED=seed) for seed in ("1", "2"))
    assert first.stdout == again.stdout
    other = run(f"layers.{workload}", "--seed", "12", "--seeds", "2", "--ops", "200", "--json")
    assert report(other)["digest"] != report(first)["digest"]


def test_a_violation_is_printed_with_the_command_that_shows_it_again() -> None:
    oversells = ("tests.simulation.machines:OversellsWorkload", "--seed", "3", "--seeds", "2", "--ops", "300")
    process = run(*oversells, "--no-shrink")
    assert process.returncode == 1
    first = process.stdout.splitlines()[0]
    assert first.startswith("seed 3, step ") and "violated: stock not negative: it is -" in first
    [command, *_] = [line for line in process.stdout.splitlines() if "see it again: " in line]
    program, *arguments = command.partition("see it again: ")[2].split()
    assert program == "python" and arguments[0] == str(SCRIPT)
    again = run(*arguments[1:], "--no-shrink")
    assert again.returncode == 1
    assert again.stdout.splitlines()[0] == first


def test_a_violation_in_json() -> None:
    process = run("tests.simulation.machines:OversellsWorkload", "--ops", "300", "--json")
    assert process.returncode == 1
    [violation] = report(process)["violations"]
    assert violation["seed"] == 0 and violation["step"] > 0
    assert violation["invariant"].startswith("stock not negative")
    assert violation["input"].startswith("Buy(")


def test_a_module_of_the_current_folder(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("from layers.counter.workload import CounterWorkload as Mine\n")
    assert run("mine:Mine", "--ops", "20", cwd=tmp_path).returncode == 0


def test_a_bounded_time() -> None:
    process = run("layers.counter.workload:CounterWorkload", "--time", "0.2", "--ops", "20", "--json")
    assert process.returncode == 0
    assert report(process)["seeds"] >= 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["no.such.module:Workload"], "cannot import no.such.module: ModuleNotFoundError: No module named 'no'"),
        (["layers.counter.workload:Wrong"], "layers.counter.workload has no workload 'Wrong'; it has CounterWorkload"),
        (["layers.counter.machine:Counter"], "layers.counter.machine has no workload 'Counter'; it has none"),
        (["layers.counter.workload"], "'layers.counter.workload' is not MODULE:WORKLOAD"),
        (["--seeds", "0"], "error: Invalid value for '--seeds': "),
        (["--ops", "-5"], "error: Invalid value for '--ops': "),
        (["--ops", "many"], "error: Invalid value for '--ops': "),
        (["--seed", "x"], "error: Invalid value for '--seed': "),
        (["--time", "nan"], "Invalid value for '--time': 'nan' is not a positive number of seconds"),
        (["--colour"], "No such option: --colour"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_status_2(arguments: list[str], message: str) -> None:
    process = run(*arguments)
    assert process.returncode == 2
    assert process.stdout == ""
    [line] = process.stderr.splitlines()
    assert message in line


def test_the_dentists_scenarios_have_names() -> None:
    assert list(SCENARIOS) == [
        "mixed", "contention", "payment-failures", "auto-selection", "sparse", "long", "stress", "preferences",
    ]  # fmt: skip
    process = run("payment-failures", "--ops", "150", "--json")
    assert process.returncode == 0
    counts = report(process)["counts"]
    assert counts["result Declined"] > counts["result Authorized"] > 0


def test_a_scenario_has_settings_of_its_own_and_the_command_line_comes_first(
    capsys: pytest.CaptureFixture[str],
) -> None:
    busy = {"busy": Scenario("tests.simulation.machines:OversellsWorkload", ops=200, workers=2, faults="none")}
    assert main(["busy", "--no-shrink"], Program("phasm simulate", scenarios=busy)) == 1
    printed = capsys.readouterr().out
    assert "see it again: phasm simulate busy --seed 0\n" in printed
    assert "fault " not in printed
    arguments = ["busy", "--ops", "100", "--faults", "1020=0.5,call slow=0.1", "--no-shrink"]
    main(arguments, Program("phasm simulate", scenarios=busy))
    printed = capsys.readouterr().out
    assert "see it again: phasm simulate busy --ops 100 --faults '1020=0.5,call slow=0.1' --seed 0\n" in printed
    assert "fault 1020 " in printed


def test_the_command_writes_a_report_of_what_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = ["tests.simulation.machines:BreaksWorkload", "--ops", "60", "--seeds", "2", "--report", "out.html"]
    assert main(arguments, PHASM) == 1
    assert "shrunk to 1 choices" in capsys.readouterr().out
    assert "<dt>all seeds</dt><dd>2</dd>" in Path("out.html").read_text()
    (program,) = Path(".phasm").glob("*.phasm")
    assert main([arguments[0], "--replay", str(program), "--report", "again.html"], PHASM) == 1
    assert "!! violated: a bug" in capsys.readouterr().out
    assert "An invariant is violated" in Path("again.html").read_text()


def test_the_command_writes_a_report_of_what_held(tmp_path: Path) -> None:
    path = tmp_path / "out.html"
    assert main(["layers.counter.workload:CounterWorkload", "--ops", "20", "--report", str(path)], PHASM) == 0
    assert "Everything held" in path.read_text()


def test_what_depends_on_more_than_the_seed_is_said_even_where_every_run_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def next_input(self: object, rng: random.Random, view: object) -> machines.Buy:
        return machines.Buy(1)

    # In this process, and not in the one that repeats the seed.
    monkeypatch.setattr(machines.ShopWorkload, "next_input", next_input)
    path = tmp_path / "out.html"
    arguments = ["tests.simulation.machines:ShopWorkload", "--ops", "20", "--report", str(path)]
    assert main(arguments, PHASM) == 1
    assert "violated: repeatable: seed 0 gave the digest" in capsys.readouterr().out
    assert path.exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [([], "name a workload"), (["--replay", "none.phasm"], "cannot read none.phasm")],
)
def test_wrong_usage(arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments, PHASM) == 2
    assert says in capsys.readouterr().err
