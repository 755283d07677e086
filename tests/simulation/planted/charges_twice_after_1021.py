"""Looks for a receipt at the first attempt only: what was committed with an unknown result (1021) is applied again."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from unittest import mock

from phasm_fdb.receipts import Applied
from phasm_fdb.transition.retrying import OwnTransaction
from tests.simulation.theatre import TheatreWorkload

EXPECTED = "exactly once"

Planted = TheatreWorkload
_apply = OwnTransaction._apply


def apply(self: OwnTransaction, tr: Any, reader: Any) -> Applied:
    if self._attempts.number > 1:
        self._request = replace(self._request, check_receipt=False)
        self._attempts.maybe_committed = False
    return _apply(self, tr, reader)


@contextmanager
def planted() -> Iterator[None]:
    with mock.patch.object(OwnTransaction, "_apply", apply):
        yield
