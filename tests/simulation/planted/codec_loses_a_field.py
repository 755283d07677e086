"""Stores bookings without the field that was added last: every one is read as being charged still."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

from phasm_fdb.codec import Codec
from tests.simulation.theatre import Booking, TheatreWorkload

EXPECTED = "takings add up"

Planted = TheatreWorkload
_encode = Codec.encode


def encode(self: Codec[Any], value: Any) -> bytes:
    if isinstance(value, Booking):
        value = Booking(value.user, value.seat, value.cents)
    return _encode(self, value)


@contextmanager
def planted() -> Iterator[None]:
    with mock.patch.object(Codec, "encode", encode):
        yield
