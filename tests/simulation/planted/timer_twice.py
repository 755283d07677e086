"""Puts the input of a timer into the inbox twice."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

from phasm_fdb.runtime import firing
from tests.simulation.theatre import TheatreWorkload

EXPECTED = "one reminder"

Planted = TheatreWorkload
_move = firing._move


def move(at: Any, lane: int, key: bytes, record: Any) -> None:
    _move(at, lane, key, record)
    if record.is_input:
        _move(at, lane, key, record)


@contextmanager
def planted() -> Iterator[None]:
    with mock.patch.object(firing, "_move", move):
        yield
