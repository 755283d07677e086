"""Each planted source of non-determinism is found, by its rule, in its line; and nothing else is.

The line is marked: `# found: RULE`, or `# found: FILE RULE` where a file is shared by several machines.
"""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

from phasm_fdb.lint import RULES, check_machine, load_machines

PLANTED = Path(__file__).parent / "planted"
ROOT = Path(__file__).parent.parent.parent
NAMES = sorted(path.stem for path in PLANTED.glob("*.py") if path.stem not in ("__init__", "deep_helpers"))
OPTIONAL = ("numpy", "pandas")
MARK = re.compile(r"# found: (?:(?P<machine>\w+) )?(?P<rule>[\w-]+)$")


def marked(name: str) -> list[tuple[str, int, str]]:
    """The file, line and rule of everything that is planted for a machine."""
    places = []
    for path in (PLANTED / f"{name}.py", PLANTED / "deep_helpers.py"):
        for number, line in enumerate(path.read_text().splitlines(), 1):
            found = MARK.search(line)
            if found and (found["machine"] or path.stem) == name:
                places.append((path.name, number, found["rule"]))
    return places


@pytest.mark.parametrize("name", NAMES)
def test_what_is_planted_is_found(name: str) -> None:
    if "_clock" in name and name.partition("_")[0] in OPTIONAL:
        pytest.importorskip(name.partition("_")[0], reason="not needed otherwise, and so not installed in CI")
    machine = importlib.import_module(f"tests.lint.planted.{name}").Planted
    findings = check_machine(machine())
    assert [(Path(one.path).name, one.line, one.rule) for one in findings] == marked(name)
    assert marked(name), "nothing is planted"
    for one in findings:
        assert one.instead == RULES[one.rule]
        assert one.found.startswith("`"), "a finding quotes the code"


def test_there_are_enough_of_them_of_every_rule() -> None:
    planted = [rule for name in NAMES for _, _, rule in marked(name)]
    assert len(planted) >= 30
    assert set(planted) == set(RULES) - {"allow"}


def test_the_way_to_a_finding_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    (machine,) = load_machines("tests.lint.planted.clock_two_calls_deep:Planted")
    (finding,) = check_machine(machine)
    assert finding.via == ("stf", "stamp", "_tick")
    assert str(finding) == (
        "tests/lint/planted/deep_helpers.py:15:12: clock: `now` reads the clock: take the time from `input.at` "
        "(stf -> stamp -> _tick)"
    )
