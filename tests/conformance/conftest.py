"""Fixtures of the conformance suite: a test runs on memory, on SQLite and, where there is one, on a cluster.

A test asks for `database`, and builds its keys with `at`, so that on a shared cluster it keeps to a prefix of
its own; it expects errors with `fails(code)`, whatever class the engine raises them by.
"""

from __future__ import annotations

import contextlib
import importlib
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import pytest

from tests.conformance import cluster_engine

ENGINES = ["memory", "sqlite", pytest.param("cluster", marks=pytest.mark.cluster)]


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> Any:
    """The engine module under test (see `engine.py` for its names)."""
    if request.param == "cluster":
        request.getfixturevalue("cluster_file")
    return importlib.import_module(f"tests.conformance.{request.param}_engine")


@pytest.fixture
def prefix(engine: Any) -> bytes:
    """What every key of the test starts with: a random prefix on a shared cluster, nothing elsewhere."""
    return f"phasm-test/{uuid.uuid4().hex}/".encode() if engine is cluster_engine else b""


@pytest.fixture
def database(engine: Any, prefix: bytes) -> Iterator[Any]:
    """A database that is empty, at least under `prefix`; cleared and closed afterwards."""
    db = engine.open_database()
    yield db
    if prefix:
        db.clear_range_startswith(prefix)
    engine.close_database(db)


@pytest.fixture
def at(prefix: bytes) -> Callable[[bytes], bytes]:
    """The test's key of a name: `at(b"a")`."""
    return lambda name: prefix + name


@pytest.fixture
def fails(engine: Any) -> Callable[[int], AbstractContextManager[None]]:
    """`with fails(1020): ...`: the body raises the engine's FDBError with that code."""

    @contextlib.contextmanager
    def expect(code: int) -> Iterator[None]:
        with pytest.raises(engine.FDBError) as caught:
            yield
        assert caught.value.code == code

    return expect
