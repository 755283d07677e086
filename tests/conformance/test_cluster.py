"""Whether this run had a real cluster to hold the engines' common suite against; skipped, with how, if not."""

from __future__ import annotations

import pytest

from tests.conformance import cluster_engine


@pytest.mark.cluster
def test_the_suite_runs_on_a_cluster() -> None:
    """One skip here stands for the whole suite, which has no cluster among its engines then."""
    if cluster_engine.cluster_file() is None:
        pytest.skip(cluster_engine.MISSING)
    tr = cluster_engine.open_database().create_transaction()
    assert tr.get_read_version().wait() > 0
