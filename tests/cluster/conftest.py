"""Fixtures of the tests that only a real cluster can answer."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import phasm_fdb
from scripts.local_cluster import ClusterError, LocalCluster
from tests.conformance import cluster_engine


@pytest.fixture
def db(cluster_file: str) -> Any:
    """The cluster, as `open` gives it."""
    return phasm_fdb.open(f"fdb:{cluster_file}")


@pytest.fixture
def no_blocking(db: Any, subspace: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail when the thread that runs the test would block in the binding, until `subspace` is cleared."""
    import fdb

    block_until_ready, loop_thread = fdb.Future.block_until_ready, threading.get_ident()

    def checked(future: Any) -> None:
        assert future.is_ready() or threading.get_ident() != loop_thread, "the loop's thread would have blocked"
        block_until_ready(future)

    monkeypatch.setattr(fdb.Future, "block_until_ready", checked)


@pytest.fixture
def cluster(tmp_path: Path, cluster_file: str) -> Iterator[LocalCluster]:
    """A cluster of the test's own, which it may kill."""
    try:
        cluster = LocalCluster(tmp_path)
    except ClusterError as error:
        pytest.skip(f"{cluster_engine.MISSING}; here {str(error).splitlines()[0]}")
    cluster.start()
    yield cluster
    cluster.stop()
