"""`phasm new`: what it makes works at once, and it overwrites nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
PHASM = [sys.executable, "-m", "phasm_fdb.cli"]
PYTEST = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]


def run(arguments: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "NO_COLOR": "1", "COLUMNS": "200"}
    return subprocess.run(arguments, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("new")
    done = run([*PHASM, "new", "ticket_shop"], folder)
    assert (done.returncode, done.stderr) == (0, "")
    return folder


def test_its_tests_pass(made: Path) -> None:
    done = run([*PYTEST, "ticket_shop"], made)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "6 passed" in done.stdout


def test_its_tests_find_a_machine_that_was_broken(made: Path) -> None:
    machine = made / "ticket_shop" / "machine.py"
    whole = machine.read_text()
    assert whole.count("count <= 0") == 1
    machine.write_text(whole.replace("count <= 0", "count < 0"))
    try:
        done = run([*PYTEST, "ticket_shop"], made)
    finally:
        machine.write_text(whole)
    assert done.returncode == 1, done.stdout + done.stderr


def test_the_commands_of_its_readme_work(made: Path) -> None:
    assert run([*PHASM, "lint", "ticket_shop.machine"], made).returncode == 0
    database = f"embedded:{made / 'ticket_shop.phasm'}"
    code = (
        f"import phasm_fdb; from ticket_shop.app import layer; from ticket_shop.machine import Place; "
        f"db = phasm_fdb.open({database!r}); layer.apply(db, Place('tea', 2), request_id='r'); db.close()"
    )
    done = run([sys.executable, "-c", code], made)
    assert done.returncode == 0, done.stderr
    done = run([*PHASM, "replay", "ticket_shop.app:app", "--database", database], made)
    assert (done.returncode, done.stdout) == (0, "1 inputs applied, 0 refused: the replay came to the same\n")


def test_no_placeholder_is_left(made: Path) -> None:
    for path in (made / "ticket_shop").iterdir():
        if path.is_file():
            assert "${" not in path.read_text() and "$name" not in path.read_text()
    assert "class TicketShop(StateMachine)" in (made / "ticket_shop" / "machine.py").read_text()
    assert (made / "ticket_shop" / "README.md").read_text().startswith("# Ticket shop\n")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("ticket_shop", "ticket_shop is there already, and nothing was changed"),
        ("Ticket", "'Ticket' is no name for a package"),
        ("ticket-shop", "'ticket-shop' is no name for a package"),
        ("../shop", "'../shop' is no name for a package"),
        ("class", "'class' is no name for a package"),
        ("json", "there is a package json already, which would be hidden"),
    ],
)
def test_a_name_that_is_no_good_is_one_line_and_changes_nothing(made: Path, name: str, message: str) -> None:
    before = {path: path.stat().st_mtime_ns for path in made.rglob("*.py")}
    done = run([*PHASM, "new", name], made)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith(f"phasm new: error: {message}")
    assert done.stderr.count("\n") == 1
    assert {path: path.stat().st_mtime_ns for path in made.rglob("*.py")} == before
