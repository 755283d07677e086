"""Ends a worker when the database fails where nobody tries again."""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

from phasm_fdb.runtime.supervisor import Supervisor

NET = "system"
QUICK = {"1031": 0.05}


@contextmanager
def undone() -> Iterator[None]:
    async def until_done(self: Supervisor, what: str, work: Callable[[], Awaitable[Any]]) -> Any:
        return await work()

    with mock.patch.object(Supervisor, "until_done", until_done):
        yield
