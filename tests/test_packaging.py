"""The wheel: it has what it should, installs with its declared dependencies, and needs no C library."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    code = (
        "from hatchling.build import build_wheel; import os, sys; "
        f"os.chdir({str(ROOT)!r}); print(build_wheel({str(folder)!r}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    if "No module named 'hatchling'" in done.stderr:
        pytest.skip("hatchling is not installed here: pip builds the wheel with it, in an environment of its own")
    assert done.returncode == 0, done.stderr
    return folder / done.stdout.split()[-1]


def test_the_wheel_has_the_package_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert "phasm_fdb/py.typed" in names
    assert "phasm_fdb/layer.py" in names
    assert "phasm_fdb/cli/templates/machine.py.txt" in names
    assert {name.split("/")[0].split("-")[0] for name in names} == {"phasm_fdb"}
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_the_wheel_imports_and_works_from_elsewhere(wheel: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path / 'site')!r}); import phasm_fdb; "
        "assert 'site' in phasm_fdb.__file__, phasm_fdb.__file__; "
        "db = phasm_fdb.open('memory:'); db[b'a'] = b'1'; assert db[b'a'] == b'1'; "
        "assert 'fdb.impl' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_runtime_dependencies_are_the_five() -> None:
    names = {dependency.split(">")[0] for dependency in PROJECT["dependencies"]}
    assert names == {"foundationdb", "msgpack", "cattrs", "greenlet", "sortedcontainers"}


def test_the_command_says_what_to_install(tmp_path: Path) -> None:
    """Without the `cli` extra: a typer that cannot be imported stands for one that is not installed."""
    (tmp_path / "typer.py").write_text("raise ImportError('not installed')")
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); from phasm_fdb.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "pip install 'phasm-fdb[cli]'" in done.stderr


def test_the_tests_that_ci_runs_on_newer_pythons_are_there() -> None:
    named = re.findall(r"tests/[\w/.]+", (ROOT / ".ci" / "run").read_text())
    assert named
    assert [path for path in named if not (ROOT / path).exists()] == []
