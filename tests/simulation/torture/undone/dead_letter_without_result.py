"""Gives an action up without the result on which the machine has failed."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from unittest import mock

from phasm_fdb.runtime.recorder import Recorder

NET = "system"
QUICK = "default"

_give_up = Recorder._give_up


@contextmanager
def undone() -> Iterator[None]:
    def give_up(self: Recorder, ending: Any, cause: str, failure: Any) -> Any:
        return _give_up(self, ending, cause, replace(failure, result=()))

    with mock.patch.object(Recorder, "_give_up", give_up):
        yield
