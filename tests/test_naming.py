"""Modules are imported by the name that the user gave, and the current folder comes last."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from phasm_fdb.naming import Loadable, NameNotFound

ROOT = Path(__file__).resolve().parent.parent


APP = Loadable("app", "my_app:app", lambda value: isinstance(value, dict))


@pytest.mark.parametrize("name", ["json", "json:", ":app", ""])
def test_a_name_has_two_parts(name: str) -> None:
    with pytest.raises(NameNotFound, match=f"'{name}' is not MODULE:APP, such as my_app:app"):
        APP.load(name)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("raise SystemExit(3)", "cannot import broken_module: SystemExit: 3"),
        ("1 / 0", "cannot import broken_module: ZeroDivisionError: division by zero"),
        ("def", r"cannot import broken_module: SyntaxError: .* \(broken_module.py, line 1\)"),
    ],
)
def test_a_module_that_cannot_be_imported_says_why(
    text: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_module.py").write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    with pytest.raises(NameNotFound, match=says):
        APP.load("broken_module:app")


def test_the_current_folder_comes_last(tmp_path: Path) -> None:
    """A folder that has a json.py and a typer.py is a folder like any other; what only it has is found there."""
    for name in ("json", "typer", "sqlite3", "msgpack"):
        (tmp_path / f"{name}.py").write_text("raise AssertionError('the file of the current folder was imported')")
    (tmp_path / "my_machines.py").write_text("from tests.machines import Wallet")
    code = "from phasm_fdb.cli import main; main()"
    # As the installed script begins: without the current folder in the path.
    done = subprocess.run(
        [sys.executable, "-P", "-c", code, "lint", "my_machines:Wallet"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "nothing found\n", "")
