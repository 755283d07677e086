"""Does not look whether the worker holds the lane still: one that was paused for too long goes on as if it did."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

from phasm_fdb.runtime import applying, firing, settling, starting
from tests.simulation.theatre import TheatreWorkload

EXPECTED = "fencing"

Planted = TheatreWorkload


def fence(keyspace: Any, staged: Any, lease: Any) -> None:
    """Lets everybody pass."""


@contextmanager
def planted() -> Iterator[None]:
    with ExitStack() as stack:
        for module in (applying, firing, settling, starting):
            stack.enter_context(mock.patch.object(module, "fence", fence))
        yield
