"""FoundationDB's client in a forked child: an error at once, where nothing would ever be answered.

The C library is stood in for by its functions' names; `tests/cluster/test_opening.py` forks with the real one.
"""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest

from phasm_fdb.database.binding import ASKING
from phasm_fdb.errors import DatabaseError
from tests.forking import Child


def binding(network_thread: Any) -> SimpleNamespace:
    """The part of `fdb.impl` that a fork concerns."""
    functions = {name: lambda *_: "answered" for name in (*ASKING, "fdb_future_is_ready", "fdb_stop_network")}
    return SimpleNamespace(_network_thread=network_thread, _capi=SimpleNamespace(**functions))


def calls(module: SimpleNamespace) -> list[str]:
    """What each of the C library's functions answers."""
    answers = []
    for name in vars(module._capi):
        try:
            answers.append(str(getattr(module._capi, name)()))
        except DatabaseError as error:
            answers.append(str(error))
    return answers


def test_all_use_of_a_client_that_the_parent_started_fails_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    module = binding(network_thread=object())
    monkeypatch.setitem(sys.modules, "fdb.impl", module)
    *asking, is_ready, stop = Child(lambda child: calls(module)).end()
    assert len(asking) == len(ASKING)
    assert all("network thread has stayed there" in answer and "after the fork" in answer for answer in asking)
    assert (is_ready, stop) == ("answered", "0")
    assert calls(module) == ["answered"] * 7, "nothing has changed in the parent"


def test_a_client_that_was_not_started_yet_works_in_the_child(monkeypatch: pytest.MonkeyPatch) -> None:
    module = binding(network_thread=None)
    monkeypatch.setitem(sys.modules, "fdb.impl", module)
    assert Child(lambda child: calls(module)).end() == ["answered"] * 7
