"""The script that runs a local cluster, where there is no FoundationDB to run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from scripts import local_cluster

SCRIPT = Path(local_cluster.__file__)


@pytest.fixture
def nothing_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(local_cluster, "USUAL_FOLDERS", (str(tmp_path / "usual"),))
    return tmp_path


def program(path: Path) -> Path:
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_text("#!/bin/sh\necho no such option >&2; exit 1\n")
    path.chmod(0o755)
    return path


def test_without_fdbserver_it_says_how_to_install_it(
    nothing_installed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert local_cluster.main([]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("fdbserver was not found on the PATH nor in")
    assert "https://github.com/apple/foundationdb/releases" in printed.err


def test_it_starts_without_the_package_being_installed(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-S", str(SCRIPT), "--fdbserver", str(tmp_path / "missing")],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": ""},
        check=False,
    )
    assert (done.returncode, done.stderr) == (1, f"{tmp_path / 'missing'} is not a program\n")


def test_programs_are_looked_for_on_the_path_beside_and_in_the_usual_places(nothing_installed: Path) -> None:
    usual = program(nothing_installed / "usual" / "fdbcli")
    assert local_cluster.find_program("fdbcli") == usual
    beside = program(nothing_installed / "beside" / "fdbcli")
    assert local_cluster.find_program("fdbcli", beside=beside.parent) == beside
    on_path = program(nothing_installed / "fdbcli")
    assert local_cluster.find_program("fdbcli", beside=beside.parent) == on_path
    assert local_cluster.find_program("fdbcli", str(usual)) == usual


def test_a_server_that_ends_at_once_is_told_with_what_it_printed(
    nothing_installed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server, cli = program(nothing_installed / "server"), program(nothing_installed / "cli")
    assert local_cluster.main(["--fdbserver", str(server), "--fdbcli", str(cli)]) == 1
    assert capsys.readouterr().err == "fdbserver ended; its output: no such option\n\n"
