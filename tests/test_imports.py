"""The arrows of the design: who may import whom; and what a user may import."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import phasm_fdb

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "phasm_fdb"
SIMULATION = "phasm_fdb.simulation"

#: For the modules of a place: what of the package they may not import.
FORBIDDEN = {
    "embedded": ("layer", "transition", "runtime", "simulation", "testing", "cli", "state", "fields", "machine"),
    "database": ("embedded", "layer", "transition", "runtime", "simulation", "testing", "cli", "state", "fields"),
    "fields": ("embedded", "layer", "transition", "runtime", "simulation", "testing", "cli"),
    "journal": ("embedded", "layer", "transition", "runtime", "simulation", "testing", "cli"),
    "transition": ("embedded", "layer", "runtime", "simulation", "testing", "cli"),
    "runtime": ("embedded", "simulation", "testing", "cli"),
    "simulation": ("testing", "cli"),
    "testing": ("cli",),
    "guard": ("database", "embedded", "layer", "transition", "runtime", "simulation", "testing", "cli", "lint"),
    "lint": ("database", "embedded", "runtime", "simulation", "testing", "cli"),
    "": ("embedded", "runtime", "simulation", "testing", "cli"),
}

#: Who may all the same, and why.
ALLOWED = {
    ("database/url.py", "embedded"): "opens every kind of database by its name",
    ("__init__.py", "runtime"): "the public names",
}


def modules(place: str) -> list[Path]:
    folder = PACKAGE / place
    return sorted(folder.rglob("*.py") if place else folder.glob("*.py"))


def imported(path: Path) -> Iterator[str]:
    """The parts of the package that a module imports, type-checking imports left out."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            node.body = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "phasm_fdb":
            parts = node.module.split(".")
            yield from [parts[1]] if len(parts) > 1 else [alias.name for alias in node.names]
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.startswith("phasm_fdb."):
                    yield alias.name.split(".")[1]


#: The modules at the root that lie above `transition`: they do something with a whole layer.
ABOVE_TRANSITION = {
    *("__init__.py", "layer.py", "dead_letters.py", "failure.py", "migration.py", "recovery.py", "replay.py"),
    *("resizing.py", "sweeping.py"),
}


@pytest.mark.parametrize("place", sorted(FORBIDDEN))
def test_no_module_imports_what_lies_above_it(place: str) -> None:
    for path in modules(place):
        name = str(path.relative_to(PACKAGE))
        wrong = [part for part in imported(path) if part in FORBIDDEN[place] and (name, part) not in ALLOWED]
        assert not wrong, f"{name} imports {wrong}"


def test_what_a_transition_is_made_of_does_not_know_it() -> None:
    for path in modules(""):
        wrong = {"transition", "layer"} & set(imported(path))
        assert not wrong or path.name in ABOVE_TRANSITION, f"{path.name} imports {wrong}"


#: The floors of the simulator, each above those before it. The modules beside them, under all floors, say what a run
#: is given (workload, settings, choices, faults, program) and what it records (trace).
SIMULATION_FLOORS = ("", "world", "oracles", "run", "report", "shrinking")


@pytest.mark.parametrize("floor", SIMULATION_FLOORS)
def test_no_floor_of_the_simulator_imports_one_above_it(floor: str) -> None:
    folder = PACKAGE / "simulation" / floor
    above = tuple(f"{SIMULATION}.{one}." for one in SIMULATION_FLOORS[SIMULATION_FLOORS.index(floor) + 1 :])
    found = [path for path in sorted(folder.glob("*.py")) if floor or path.name != "__init__.py"]
    assert found, f"there is no floor {floor}"
    for path in found:
        wrong = [name for name in modules_imported(path) if name.startswith(above)]
        assert not wrong, f"{path.relative_to(PACKAGE)} imports {wrong}"


def modules_imported(path: Path) -> Iterator[str]:
    """The modules that a module imports, each with a point at its end."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}." for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (f"{alias.name}." for alias in node.names)


def test_layers_import_public_names_only() -> None:
    public = {*phasm_fdb.__all__, "simulation", "testing"}
    for path in sorted((ROOT / "layers").rglob("*.py")):
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("phasm_fdb"):
                names = {alias.name for alias in node.names}
                private = node.module not in ("phasm_fdb", "phasm_fdb.simulation", "phasm_fdb.testing")
                assert not private, f"{path} imports {node.module}"
                assert node.module != "phasm_fdb" or names <= public, f"{path} imports {names - public}"


def test_every_public_name_is_there_and_documented() -> None:
    for name in phasm_fdb.__all__:
        if name != "Subspace":  # the binding's own
            assert getattr(phasm_fdb, name).__doc__, f"{name} has no docstring"


def test_the_package_imports_without_libfdb_c() -> None:
    """Importing and opening memory: touches nothing of the binding that needs the C library."""
    code = "import sys, phasm_fdb; phasm_fdb.open('memory:'); sys.exit('fdb.impl' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
