"""Reads a lane's inbox from its end: a user's later input is applied before the earlier one."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

from phasm_fdb.inbox import Inbox, Queued
from tests.simulation.theatre import TheatreWorkload

EXPECTED = "order per key"

_head = Inbox.head


class Planted(TheatreWorkload):
    def ordering_key(self, payload: Any) -> Any:
        return getattr(payload, "user", None)


def head(self: Inbox, reader: Any, lane: int, limit: int) -> Iterator[Queued]:
    return iter(list(_head(self, reader, lane, limit))[::-1])


@contextmanager
def planted() -> Iterator[None]:
    with mock.patch.object(Inbox, "head", head):
        yield
