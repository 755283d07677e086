"""The demo, as it is called."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).resolve().parent.parent.parent / "scripts" / "demo.py"


def run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=120)


def test_it_tells_of_kills_and_ends_well(tmp_path: Path) -> None:
    database = tmp_path / "practice.sqlite"
    process = run("--requests", "24", "--kills", "2", "--database", f"embedded:{database}", cwd=tmp_path)
    assert (process.returncode, process.stderr) == (0, "")
    assert process.stdout.count("SIGKILL") == 2
    assert process.stdout.count("  ok  ") == 4
    assert "FAILED" not in process.stdout
    assert database.exists()


def test_a_database_that_processes_cannot_share_is_refused(tmp_path: Path) -> None:
    process = run("--database", "memory:", cwd=tmp_path)
    assert process.returncode == 2
    assert "cannot be memory:" in process.stderr


def test_a_database_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    process = run("--database", f"embedded:{tmp_path}/no/such/folder/db", cwd=tmp_path)
    assert process.returncode == 1
    assert "Traceback" not in process.stderr and "no/such/folder" in process.stderr


def test_wrong_numbers_are_usage(tmp_path: Path) -> None:
    assert run("--requests", "many", cwd=tmp_path).returncode == 2
