"""Forgets the ordering keys of what it reads from a lane: a user's refund overtakes the charge before it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

from phasm_fdb.runtime import loading
from phasm_fdb.runtime.work import Work
from tests.simulation.theatre import TheatreWorkload

EXPECTED = "order per key"

Planted = TheatreWorkload


def work(lease: Any, row: bytes, stamp: Any, packed_id: bytes, tag: str, packed_key: Any, progress: Any) -> Work:
    return Work(lease, row, stamp, packed_id, tag, None, progress)


@contextmanager
def planted() -> Iterator[None]:
    with mock.patch.object(loading, "Work", work):
        yield
