from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import phasm_fdb
from phasm_fdb import Layer
from phasm_fdb.cli.loading import load_app
from phasm_fdb.naming import NameNotFound
from phasm_fdb.runtime import App, Handlers
from tests.runtime.machines import Jobs, Order
from tests.runtime.test_worker import Other

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    made = ModuleType("some_app")
    monkeypatch.setitem(sys.modules, "some_app", made)
    made.layer = Layer(Jobs(), ("x",))  # type: ignore[attr-defined]
    made.handlers = Handlers()  # type: ignore[attr-defined]
    return made


def test_an_app_is_found_by_its_name(module: ModuleType) -> None:
    module.app = App(module.layer, module.handlers, {"concurrency": 3})  # type: ignore[attr-defined]
    assert load_app("some_app:app") is module.app


def test_a_layer_goes_with_the_only_handlers_of_its_module(module: ModuleType) -> None:
    app = load_app("some_app:layer")
    assert (app.layer, app.handlers) == (module.layer, module.handlers)
    module.more = Handlers()  # type: ignore[attr-defined]
    with pytest.raises(NameNotFound, match="some_app has 2 Handlers, and one is needed"):
        load_app("some_app:layer")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("some_app", "'some_app' is not MODULE:APP"),
        ("some_app:nope", "some_app has no App or Layer 'nope'; it has layer"),
        ("no.such.module:app", "cannot import no.such.module: ModuleNotFoundError"),
    ],
)
def test_what_is_no_app_is_named(module: ModuleType, name: str, message: str) -> None:
    with pytest.raises(NameNotFound, match=message):
        load_app(name)


def phasm(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "phasm_fdb.cli", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60)


def test_the_command_says_in_one_line_what_is_wrong() -> None:
    done = phasm("worker", "tests.runtime.program:nope", "--database", "memory:")
    assert done.returncode == 2
    assert done.stderr == "phasm worker: error: tests.runtime.program has no App or Layer 'nope'; it has layer, app\n"


def test_the_command_refuses_a_keyspace_of_another_machine(tmp_path: Path) -> None:
    url = f"embedded:{tmp_path / 'other.phasm'}"
    db = phasm_fdb.open(url)
    Layer(Other(), ("jobs",)).apply(db, Order(1))
    db.close()
    done = phasm("worker", "tests.runtime.program:app", "--database", url)
    assert done.returncode == 2
    assert "belongs to the machine Other" in done.stderr
