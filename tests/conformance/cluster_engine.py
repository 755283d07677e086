"""A real FoundationDB cluster as a conformance engine, through the official binding.

`PHASM_TEST_CLUSTER_FILE` names the cluster file; where it does not, and fdbserver is found, the fixture `cluster_file`
starts a cluster for the session. The suite keeps to a key prefix of its own and clears it, so any cluster will do; the
golden cases need an *empty* database and erase everything, so they run only when `PHASM_TEST_CLUSTER_SCRATCH=1` says
that nothing on the cluster is worth keeping.
"""

from __future__ import annotations

import functools
import os
from typing import Any

from phasm_fdb.database.api_version import load_binding

MISSING = "no FoundationDB cluster (PHASM_TEST_CLUSTER_FILE names one, fdbserver on the PATH starts one)"
NOT_SCRATCH = "the golden cases erase the cluster: set PHASM_TEST_CLUSTER_SCRATCH=1 if nothing on it matters"


def cluster_file() -> str | None:
    """The cluster file to use, or None where there is no cluster."""
    return os.environ.get("PHASM_TEST_CLUSTER_FILE") or None


def is_scratch() -> bool:
    """Whether the cluster's whole contents may be erased."""
    return os.environ.get("PHASM_TEST_CLUSTER_SCRATCH") == "1"


@functools.cache
def _open() -> Any:
    return load_binding().open(cluster_file())


def __getattr__(name: str) -> Any:
    """`KeySelector` and `FDBError`, which the binding has only once an API version is chosen."""
    if name not in ("KeySelector", "FDBError"):
        raise AttributeError(name)
    import fdb

    _open()
    return getattr(fdb, name)


def open_database() -> Any:
    """The cluster's database; it is emptied first if the cluster is a scratch one."""
    db = _open()
    if is_scratch():
        del db[b"":b"\xff"]
    return db


def close_database(db: Any) -> None:
    """Nothing to do: the binding keeps one connection for the process."""
