"""`phasm replay`, `phasm snapshot` and `phasm export`: their output, their errors in one line, their exit status."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

import phasm_fdb
from phasm_fdb import Layer, TransitionError
from phasm_fdb.cli.commands import export, replay, snapshot
from tests.machines import Deposit, Pay, Wallet

APP = """
from phasm_fdb import Layer
from phasm_fdb.runtime import App, Handlers
from tests.machines import Wallet
from tests.test_replay import Changed, Failing

layer = Layer(Wallet(), ("wallets",), journal=True)
app = App(layer, Handlers())
changed = Layer(Changed(), ("wallets",))
failing = Layer(Failing(), ("wallets",))
elsewhere = Layer(Wallet(), ("elsewhere",))
"""

Phasm = Callable[..., Result]


@pytest.fixture
def phasm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Phasm:
    """Runs a subcommand in a folder that has the module `replayed_app`."""
    (tmp_path / "replayed_app.py").write_text(APP)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    app = typer.Typer()
    for module in (replay, snapshot, export):
        module.register(app)
    return lambda *arguments: CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"embedded:{tmp_path / 'wallets.phasm'}"


@pytest.fixture
def db(url: str) -> Iterator[Any]:
    """A file with 4 inputs that were applied and 1 that was refused."""
    database = phasm_fdb.open(url)
    fill(database)
    yield database
    database.close()


def fill(db: Any) -> None:
    layer = Layer(Wallet(), ("wallets",), journal=True)
    layer.apply(db, Deposit("ann", 100))
    for cents in (10, 50, 90, 10):
        try:
            layer.apply(db, Pay("ann", cents))
        except TransitionError:
            assert cents == 90


@pytest.mark.parametrize("name", ["layer", "app"])
def test_the_same(phasm: Phasm, url: str, db: Any, name: str) -> None:
    result = phasm("replay", f"replayed_app:{name}", "--database", url)
    assert (result.exit_code, result.stdout) == (0, "4 inputs applied, 1 refused: the replay came to the same\n")


def test_different_code_is_shown_with_input_expected_and_found(phasm: Phasm, url: str, db: Any) -> None:
    result = phasm("replay", "replayed_app:changed", "--database", url)
    assert result.exit_code == 1
    assert re.search(r"^entry 4, versionstamp [0-9a-f]{24}, 20\d\d-", result.stdout)
    assert "  input:    Normal(payload=Pay(user='ann', cents=50)" in result.stdout
    assert "  expected: writes balance['ann'] = 40\n" in result.stdout
    assert "  found:    writes balance['ann'] = 39\n" in result.stdout
    assert result.stdout.endswith("2 inputs applied, 0 refused: 1 differences\n")


def test_with_new_code(phasm: Phasm, url: str, db: Any) -> None:
    same = phasm("replay", "replayed_app:layer", "--database", url, "--with", "replayed_app:app")
    assert same.stdout == "4 inputs applied, 1 refused: replayed_app:app would have decided the same\n"
    assert same.exit_code == 0
    other = phasm("replay", "replayed_app:layer", "--database", url, "--with", "replayed_app:changed")
    assert other.exit_code == 1
    assert other.stdout.endswith("4 inputs applied, 1 refused: 2 differences\n")
    failing = phasm("replay", "replayed_app:layer", "--database", url, "--with", "replayed_app:failing")
    assert "  found:    failed: KeyError: 'a bug'\n" in failing.stdout


def test_more_differences_than_are_shown_are_counted(phasm: Phasm, url: str, db: Any) -> None:
    layer = Layer(Wallet(), ("wallets",))
    layer.apply(db, Deposit("ann", 5000))
    for _ in range(30):
        layer.apply(db, Pay("ann", 50))
    result = phasm("replay", "replayed_app:layer", "--database", url, "--with", "replayed_app:changed")
    assert "and 12 more\n" in result.stdout
    assert result.stdout.endswith("32 differences\n")


def test_from_a_snapshot(phasm: Phasm, url: str, db: Any) -> None:
    version = phasm("snapshot", "replayed_app:layer", "--database", url).stdout.strip()
    phasm("snapshot", "replayed_app:layer", "--database", url, "--file", "state")
    Layer(Wallet(), ("wallets",)).apply(db, Deposit("bob", 1))
    assert phasm("snapshot", "replayed_app:layer", "--database", url, "--list").stdout.startswith(f"{version}  ")
    for since in (version, "latest", "state"):
        result = phasm("replay", "replayed_app:layer", "--database", url, "--from", since)
        assert (result.exit_code, result.stdout[:16]) == (0, "1 inputs applied")


def test_from_a_file_without_the_database(phasm: Phasm, url: str, db: Any, tmp_path: Path) -> None:
    assert phasm("export", "replayed_app:layer", "history", "--database", url).exit_code == 0
    db.close()
    for path in tmp_path.glob("wallets.phasm*"):
        path.unlink()
    result = phasm("replay", "replayed_app:layer", "--file", "history")
    assert (result.exit_code, result.stdout[:16]) == (0, "4 inputs applied")
    assert phasm("replay", "replayed_app:changed", "--file", "history").exit_code == 1


def test_a_damaged_file_is_different_and_says_so(phasm: Phasm, url: str, db: Any, tmp_path: Path) -> None:
    phasm("export", "replayed_app:layer", "history", "--database", url)
    whole = (tmp_path / "history").read_bytes()
    (tmp_path / "history").write_bytes(whole[:-30])
    result = phasm("replay", "replayed_app:layer", "--file", "history")
    assert result.exit_code == 1
    assert result.stderr.startswith("phasm replay: error: history is damaged behind frame ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["replayed_app:layer"], "give --database URL (with or without --from), or --file FILE"),
        (["replayed_app:layer", "--file", "f", "--from", "7"], "give --database URL"),
        (["replayed_app:layer", "--file", "f", "--database", "URL"], "give --database URL"),
        (["replayed_app", "--file", "f"], "'replayed_app' is not MODULE:APP"),
        (["nowhere:layer", "--file", "f"], "cannot import nowhere: ModuleNotFoundError: No module named 'nowhere'"),
        (["replayed_app:x", "--file", "f"], "no App or Layer 'x'; it has layer, app, changed, failing, elsewhere"),
        (["phasm_fdb:Layer", "--file", "f"], "phasm_fdb has no App or Layer 'Layer'; it has none"),
        (["replayed_app:layer", "--file", "f"], "f cannot be read: No such file or directory"),
        (["replayed_app:layer", "--file", "replayed_app.py"], "replayed_app.py is not a snapshot or an exported"),
        (["replayed_app:layer", "--database", "URL", "--from", "7"], "there is no snapshot: layer.snapshot(db) takes"),
        (["replayed_app:elsewhere", "--database", "URL"], "there is nothing of a layer under"),
        (["replayed_app:layer", "--database", "nowhere"], "'nowhere' is not the URL of a database"),
    ],
)
def test_wrong_usage_is_one_line(phasm: Phasm, url: str, db: Any, arguments: list[str], message: str) -> None:
    result = phasm("replay", *(url if argument == "URL" else argument for argument in arguments))
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stderr.startswith("phasm replay: error: ")
    assert result.stderr.count("\n") == (1 if arguments[-1] != "nowhere" else 6), "the URLs are listed"
