"""Fixtures of the embedded engine's tests."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from phasm_fdb.embedded import Database
from tests.embedded.virtual_time import VirtualTime


@pytest.fixture
def public_path() -> Iterator[Path]:
    """A directory that any user may reach and write; pytest's own ones are closed to others."""
    with tempfile.TemporaryDirectory(prefix="phasm-public-") as name:
        path = Path(name)
        path.chmod(0o777)
        yield path
        path.chmod(0o777)


@pytest.fixture
def time() -> VirtualTime:
    """Time that passes only when the test says so."""
    return VirtualTime()


@pytest.fixture
def db(time: VirtualTime) -> Database:
    """An empty memory database that lives by `time`."""
    return time.open_memory()
