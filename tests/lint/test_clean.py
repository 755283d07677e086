"""What only looks like a source of non-determinism is left alone; and all example machines are clean."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from phasm_fdb.lint import check_machine, load_machines
from phasm_fdb.lint.reach import Reach

CLEAN = sorted(path.stem for path in (Path(__file__).parent / "clean").glob("[a-z]*.py"))
LAYERS = sorted(path.parent.name for path in (Path(__file__).parent.parent.parent / "layers").glob("*/machine.py"))


@pytest.mark.parametrize("name", CLEAN)
def test_a_near_miss_is_no_finding(name: str) -> None:
    machine = importlib.import_module(f"tests.lint.clean.{name}").Clean()
    assert [str(finding) for finding in check_machine(machine)] == []
    assert Reach(machine).scopes, "nothing was read"


@pytest.mark.parametrize("name", LAYERS)
def test_the_layers_are_clean(name: str) -> None:
    for machine in load_machines(f"layers.{name}"):
        assert [str(finding) for finding in check_machine(machine)] == []


def test_all_of_a_layer_is_read() -> None:
    """Not clean for want of looking: the helpers, the index functions and the methods of values are all reached."""
    (machine,) = load_machines("layers.dentist_booking")
    reached = {scope.function.__qualname__ for scope in Reach(machine).scopes}
    assert {"_confirm", "find_slot", "_first_free", "check_all", "Slot.is_valid", "TimeRange.holds"} <= reached
    assert "BookingState.<lambda>" in reached
