"""`phasm lint`: what it prints, and how it exits."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from phasm_fdb.lint import LintError, check_machine, load_machines

ROOT = Path(__file__).resolve().parent.parent.parent

MACHINE = """
import time
from phasm_fdb import Layer, State, StateMachine, Subspace, Value

class ClockState(State):
    last = Value(int, 0)

class Clock(StateMachine):
    State = ClockState
    Input = int

    def stf(self, state, input, actions):
        state.last.set(int(time.time())){comment}

clocks = Layer(Clock(), Subspace(("clocks",)))
"""


def phasm_lint(*arguments: str, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "phasm_fdb.cli", "lint", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_clean_code_exits_with_0() -> None:
    done = phasm_lint("layers.counter", "layers.coffee_shop", "layers.dentist_booking:BookingSystem")
    assert (done.returncode, done.stdout, done.stderr) == (0, "nothing found\n", "")


def test_findings_exit_with_1_and_name_file_and_line(tmp_path: Path) -> None:
    (tmp_path / "clock_app.py").write_text(MACHINE.format(comment=""))
    done = phasm_lint("clock_app", folder=tmp_path)
    assert done.returncode == 1
    assert done.stdout.splitlines() == [
        "clock_app.py:13:28: clock: `time.time` reads the clock: take the time from `input.at` (stf)",
        "1 found",
    ]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["no_such_module"], "cannot import no_such_module"),
        (["layers.counter:Cuonter"], "has no machine 'Cuonter'; it has Counter"),
        (["json"], "json has no machine"),
        (["layers.counter:"], "'layers.counter:' is not MODULE:MACHINE"),
    ],
)
def test_what_cannot_be_read_exits_with_2_in_one_line(arguments: list[str], says: str) -> None:
    done = phasm_lint(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("phasm lint: error: ")
    assert says in done.stderr
    assert done.stderr.count("\n") == 1


def test_no_arguments_are_a_usage_error() -> None:
    assert phasm_lint().returncode == 2


@pytest.mark.parametrize("name", ["Clock", "clocks"])
def test_a_machine_is_named_by_its_class_or_its_layer(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = f"named_{name}_app"
    (tmp_path / f"{module}.py").write_text(MACHINE.format(comment=""))
    monkeypatch.syspath_prepend(tmp_path)
    (machine,) = load_machines(f"{module}:{name}")
    assert [finding.rule for finding in check_machine(machine)] == ["clock"]


@pytest.mark.parametrize(
    ("comment", "rules"),
    [
        ("  # phasm: allow clock", []),
        ("  # phasm: allow random, clock", []),
        ("  # phasm: allow random", ["clock"]),
        ("  # phasm: allow klock", ["allow", "clock"]),
        ("  # phasm: allow", ["allow", "clock"]),
        ("  # allow clock", ["clock"]),
    ],
)
def test_a_comment_allows_the_rules_that_it_names(
    comment: str, rules: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = f"allowing_app_{abs(hash(comment))}"
    (tmp_path / f"{module}.py").write_text(MACHINE.format(comment=comment))
    monkeypatch.syspath_prepend(tmp_path)
    (machine,) = load_machines(module)
    assert [finding.rule for finding in check_machine(machine)] == rules


def test_a_machine_without_text_cannot_be_read() -> None:
    names: dict[str, object] = {}
    exec(MACHINE.format(comment=""), names)
    with pytest.raises(LintError, match="cannot be read as Python"):
        check_machine(names["Clock"]())  # type: ignore[operator]
