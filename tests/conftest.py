"""Fixtures for every test that uses a database: the same test runs on memory, on SQLite and on a cluster."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import phasm_fdb
from phasm_fdb import Subspace
from tests.conformance import cluster_engine

DATABASES = ["memory", "sqlite", pytest.param("cluster", marks=pytest.mark.cluster)]


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
        path = cluster_engine.cluster_file()
        if path is None:
            pytest.skip(cluster_engine.MISSING)
        yield phasm_fdb.open(f"fdb:{path}")


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
