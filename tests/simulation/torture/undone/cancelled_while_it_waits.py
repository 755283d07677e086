"""Lets an action that is cancelled while it waits for its next attempt hold up those behind it until that is due."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

from phasm_fdb.runtime.window import Window

NET = "system"
QUICK = "default"


@contextmanager
def undone() -> Iterator[None]:
    def gone(self: Window, work: Any) -> None:
        pass

    with mock.patch.object(Window, "gone", gone):
        yield
