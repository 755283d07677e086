"""The databases that a test runs on."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from phasm_fdb.database.api_version import load_binding
from phasm_fdb.database.url import open
from phasm_fdb.errors import DatabaseError

#: Names the cluster that tests may use; FoundationDB's own variable could name one that is in production.
CLUSTER_VARIABLE = "PHASM_TEST_CLUSTER_FILE"


@contextmanager
def opened(name: str, folder: Path) -> Iterator[Any]:
    """A database: "memory", "embedded" (a new file in `folder`), or "cluster".

    The test is skipped where there is no cluster to test on.
    """
    if name == "memory":
        yield open("memory:")
    elif name == "embedded":
        db = open(f"embedded:{folder / 'test.phasm'}?synchronous=normal")
        yield db
        db.close()
    else:
        yield open(f"fdb:{_cluster_file()}")


def _cluster_file() -> str:
    file = os.environ.get(CLUSTER_VARIABLE)
    if not file:
        pytest.skip(f"no cluster: {CLUSTER_VARIABLE} names the cluster file of one that tests may write to")
    try:
        load_binding()
    except DatabaseError as error:
        pytest.skip(f"no cluster: {str(error).splitlines()[0]}")
    return file
