"""Each recipe runs on the memory store and on the SQLite store, in a subspace as an application would."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Any

import pytest
from fdb.subspace_impl import Subspace


@pytest.fixture(params=["memory", "sqlite"])
def database(request: pytest.FixtureRequest) -> Iterator[Any]:
    """An empty database."""
    engine = importlib.import_module(f"tests.conformance.{request.param}_engine")
    db = engine.open_database()
    yield db
    engine.close_database(db)


@pytest.fixture
def space() -> Any:
    """A subspace for the recipe."""
    return Subspace(("recipe",))
