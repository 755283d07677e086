"""The pytest plugin: databases, simulations, and the guard and the lint in the tests that use them.

It is on wherever the package is installed (`-p no:phasm` switches it off), and does nothing to tests that ask for none
of its fixtures:

- `phasm_db`: an empty database, once in memory, once in a file, and once on a FoundationDB cluster where there is one.
- `simulate`: reads the machine of a workload as `phasm lint` does, runs the workload from many seeds, and fails with
  what was found, or with the shortest program that shows what is wrong.

Options: `--phasm-seeds N`, `--phasm-time SECONDS`, `--phasm-databases memory,embedded,cluster`. In the ini file:
`phasm_guard = error|warn|off`, how those tests treat machine code that reaches for the clock, chance or the outside
world; `phasm_lint = false` to have no code read.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from phasm_fdb.testing.simulating import Simulate

DATABASES = ("memory", "embedded", "cluster")
DEFAULT_SEEDS = 20


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    group = parser.getgroup("phasm", "simulation of phasm_fdb machines")
    group.addoption("--phasm-seeds", type=int, metavar="N", help=f"seeds of each simulation (default {DEFAULT_SEEDS})")
    group.addoption("--phasm-time", type=float, metavar="SECONDS", help="take new seeds for so long in each simulation")
    group.addoption(
        "--phasm-databases",
        default=",".join(DATABASES),
        metavar="NAMES",
        help=f"the databases that phasm_db stands for (default {','.join(DATABASES)})",
    )
    parser.addini(
        "phasm_guard", "what the guard does in tests with phasm fixtures: error, warn or off", default="error"
    )
    parser.addini("phasm_lint", "whether `simulate` reads the machine as `phasm lint` does", type="bool", default=True)


def pytest_configure(config: pytest.Config) -> None:
    """Refuse options that mean nothing."""
    unknown = sorted(set(_databases(config)) - set(DATABASES))
    if unknown:
        raise pytest.UsageError(
            f"--phasm-databases: there is no {', '.join(unknown)}; there are {', '.join(DATABASES)}"
        )
    seeds, seconds = config.getoption("--phasm-seeds"), config.getoption("--phasm-time")
    if seeds is not None and seeds < 1:
        raise pytest.UsageError(f"--phasm-seeds is {seeds}, and must be at least 1")
    if seconds is not None and seconds <= 0:
        raise pytest.UsageError(f"--phasm-time is {seconds}, and must be positive")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test with `phasm_db` once for each database."""
    if "phasm_db" in metafunc.fixturenames:
        metafunc.parametrize("phasm_db", _databases(metafunc.config), indirect=True)


def _databases(config: pytest.Config) -> list[str]:
    return [name.strip() for name in config.getoption("--phasm-databases").split(",") if name.strip()]


@pytest.fixture
def phasm_guard(pytestconfig: pytest.Config) -> Iterator[str]:
    """The guard's mode while the test runs, for the layers that do not say it themselves."""
    from phasm_fdb.guard import set_default_mode

    mode: Any = pytestconfig.getini("phasm_guard")
    before = set_default_mode(mode)
    yield mode
    set_default_mode(before)


@pytest.fixture
def phasm_db(request: pytest.FixtureRequest, phasm_guard: str, tmp_path: Path) -> Iterator[Any]:
    """A database. Keep to a subspace of the test's own: memory and file are empty, but a cluster is shared."""
    from phasm_fdb.testing.databases import opened

    with opened(request.param, tmp_path) as db:
        yield db


@pytest.fixture
def simulate(request: pytest.FixtureRequest, phasm_guard: str) -> Simulate:
    """`simulate(workload, ...)`: see `phasm_fdb.testing.simulating.Simulate`."""
    from phasm_fdb.testing.simulating import Simulate

    cache: Any = request.config.cache if hasattr(request.config, "cache") else None
    folder = None if cache is None else cache.mkdir("phasm")
    seeds, seconds = request.config.getoption("--phasm-seeds"), request.config.getoption("--phasm-time")
    seeds = seeds if seeds is not None or seconds is not None else DEFAULT_SEEDS
    return Simulate(seeds, seconds, folder, lint=request.config.getini("phasm_lint"))
