"""Moves rows to other lanes that died in the transaction that wrote them, away from the marks that say so."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

from phasm_fdb import resizing

NET = "callers"

_run = resizing.run


@contextmanager
def undone() -> Iterator[None]:
    def run(db: Any, body: Any) -> Any:
        return 0 if getattr(body, "__name__", "") == "bury" else _run(db, body)

    with mock.patch.object(resizing, "run", run):
        yield
