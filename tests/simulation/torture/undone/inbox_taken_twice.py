"""Takes an input out of the inbox without a conflict: a commit that is done late takes it a second time."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

from phasm_fdb.runtime import applying

NET = "system"
QUICK = {"1031": 0.2, "commit slow": 0.1}


@contextmanager
def undone() -> Iterator[None]:
    def take(at: Any, queued: Any) -> None:
        at.staged.clear(queued.key)

    with mock.patch.object(applying, "_take", take):
        yield
