"""Makes an outside call again whose result the machine has failed on."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from unittest import mock

from phasm_fdb.runtime.recorder import Recorder

NET = "system"
QUICK = "default"


@contextmanager
def undone() -> Iterator[None]:
    def keep(self: Recorder, ending: Any, raw: Any, error: Exception, input: Any) -> Any:
        return replace(self._fail(ending, error), error=error)

    with mock.patch.object(Recorder, "_keep", keep):
        yield
