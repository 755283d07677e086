"""Hands the untracked actions of an input to everybody who asks for it again."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

from phasm_fdb.receipts import Receipts

NET = "callers"

_decode = Receipts._decode


def decode(self: Receipts, data: bytes, receipt: Any) -> Any:
    return _decode(self, data, receipt._replace(expiry=None))


@contextmanager
def undone() -> Iterator[None]:
    with mock.patch.object(Receipts, "_decode", decode):
        yield
