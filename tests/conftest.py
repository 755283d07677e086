"""Fixtures for every test that uses a database: the same test runs on memory, on SQLite and on a cluster."""

from __future__ import annotations

import contextlib
import gc
import uuid
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

import phasm_fdb
from phasm_fdb import Layer, Subspace
from phasm_fdb.database.api_version import load_binding
from phasm_fdb.errors import DatabaseError
from scripts.local_cluster import ClusterError, local_cluster
from tests.conformance import cluster_engine
from tests.machines import AsyncWallet, Wallet

# How long an example took says how busy the machine is.
settings.register_profile("timeless", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("timeless")

DATABASES = ["memory", "sqlite", pytest.param("cluster", marks=pytest.mark.cluster)]


@pytest.fixture(scope="session")
def cluster_file() -> Iterator[str]:
    """The cluster of PHASM_TEST_CLUSTER_FILE, else one of this session's own; without either the test is skipped."""
    try:
        load_binding()
    except DatabaseError:
        pytest.skip(f"{cluster_engine.MISSING}; here the binding has no C library, libfdb_c, that fits")
    named = cluster_engine.cluster_file()
    if named is not None:
        yield named
        return
    with contextlib.ExitStack() as stack:
        try:
            file = stack.enter_context(local_cluster())
        except ClusterError as error:
            pytest.skip(f"{cluster_engine.MISSING}; here {str(error).splitlines()[0]}")
        stack.enter_context(pytest.MonkeyPatch.context()).setenv("PHASM_TEST_CLUSTER_FILE", file)
        stack.enter_context(pytest.MonkeyPatch.context()).setenv("PHASM_TEST_CLUSTER_SCRATCH", "1")
        yield file


def pytest_collection_finish() -> None:
    """Leave modules and collected tests out of garbage collections: a test that forces one pays for its own objects."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Put what is skipped for want of a cluster under one place: the summary then counts it in one line."""
    report = yield
    if report.skipped and isinstance(report.longrepr, tuple) and cluster_engine.MISSING in report.longrepr[2]:
        report.longrepr = (__file__, 0, report.longrepr[2])
    return report


@pytest.fixture(params=DATABASES)
def db(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    """A database; tests keep to their `subspace`, since a cluster is shared."""
    if request.param == "memory":
        yield phasm_fdb.open("memory:")
    elif request.param == "sqlite":
        database = phasm_fdb.open(f"embedded:{tmp_path / 'test.phasm'}", synchronous="normal")
        yield database
        database.close()
    else:
        yield phasm_fdb.open(f"fdb:{request.getfixturevalue('cluster_file')}")


@pytest.fixture
def subspace(db: Any) -> Iterator[Subspace]:
    """A subspace of the test's own, empty, and cleared afterwards."""
    space = Subspace(("phasm-test", uuid.uuid4().hex))
    yield space
    del db[space.range(())]


@pytest.fixture
def memory() -> Any:
    """An empty database in memory, for what does not depend on the engine."""
    return phasm_fdb.open("memory:")


@pytest.fixture(params=[Wallet, AsyncWallet])
def wallets(request: pytest.FixtureRequest, subspace: Subspace) -> Layer:
    """The same machine, once with plain and once with coroutine functions."""
    return Layer(request.param(), subspace)
