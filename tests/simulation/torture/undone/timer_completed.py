"""Completes an input for later as if it were an action."""

from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

from phasm_fdb.outbox import Outbox

NET = "callers"


@contextmanager
def undone() -> Iterator[None]:
    with mock.patch.object(Outbox, "_is_input", lambda self, staged, id, packed, place: False):
        yield
