"""Waits for its watches, and never looks by itself: what comes while a watch is lost is never seen."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from unittest import mock

from phasm_fdb.runtime.dispatcher import Dispatcher
from phasm_fdb.runtime.worker_context import WorkerContext
from tests.simulation.theatre import TheatreWorkload

EXPECTED = "at rest"
NEVER_SECONDS = 1e9

Planted = TheatreWorkload
_make = Dispatcher.__init__


def make(self: Dispatcher, worker: WorkerContext, *parts: Any) -> None:
    _make(self, replace(worker, poll_seconds=NEVER_SECONDS), *parts)


@contextmanager
def planted() -> Iterator[None]:
    with mock.patch.object(Dispatcher, "__init__", make):
        yield
