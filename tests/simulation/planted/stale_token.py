"""Does not look whether the worker holds the lane still: one that was paused for too long goes on as if it did."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

from phasm_fdb.lease import Lease
from tests.simulation.theatre import TheatreWorkload

EXPECTED = "fencing"

Planted = TheatreWorkload


def holds(self: Lease, keyspace: Any, staged: Any) -> bool:
    """Lets everybody pass."""
    return True


@contextmanager
def planted() -> Iterator[None]:
    with mock.patch.object(Lease, "holds", holds):
        yield
