"""Reads the sum that it adds to by a snapshot: of two payments that meet, neither conflicts, and one is lost."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

from phasm_fdb.database.staged import Staged, TransactionReader
from phasm_fdb.fields.value import ValueAccessor
from tests.simulation.theatre import TheatreWorkload

EXPECTED = "serializable and deterministic"

Planted = TheatreWorkload
_get = ValueAccessor.get


def get(self: ValueAccessor[Any]) -> Any:
    base: Any = self._staged
    while isinstance(base, Staged):
        base = base._base
    is_known, _ = self._staged.known(self._prefix)
    if not is_known and isinstance(base, TransactionReader) and hasattr(base._reader, "snapshot"):
        self._staged._reads[self._prefix] = TransactionReader(base._reader.snapshot).read(self._prefix)
    return _get(self)


@contextmanager
def planted() -> Iterator[None]:
    with mock.patch.object(ValueAccessor, "get", get):
        yield
