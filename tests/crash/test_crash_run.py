"""A short crash run holds, and its audit notices what is wrong. The long ones are for the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import phasm_fdb
from phasm_fdb import Layer
from tests.crash.audit import Audit
from tests.crash.run import crash_run, parse
from tests.crash.scene import SUBSPACE
from tests.simulation.torture.machine import Everything
from tests.simulation.torture.steps import Act, Add, Do, Done, Emit, TakeNumber, Whisper

FEW = ["--kills", "8", "--freezes", "2", "--workers", "2", "--clients", "3"]


def test_every_promise_holds_when_processes_are_killed(tmp_path: Path) -> None:
    audit = crash_run(tmp_path, parse(FEW))
    assert audit.wrong == []
    assert audit.counts["inputs applied"] > 20 and audit.counts["log: call"] > 0, audit.counts


@pytest.fixture
def audited() -> tuple[Audit, Layer, Any]:
    """An audit whose journal is read: of two inputs, an action and its result."""
    layer, db = Layer(Everything(), SUBSPACE, journal=True), phasm_fdb.open("memory:")
    layer.apply(db, Do("a", (TakeNumber(), Emit(1, then=(Add(7),)), Whisper())), request_id="a")
    layer.apply(db, Do("b", (TakeNumber(), Emit(2))), request_id="b")
    layer.complete(db, 2, Done("a.1", (Add(7),)))
    audit = Audit()
    audit.read_journal(layer, db)
    assert audit.wrong == []
    return audit, layer, db


CALL = ["call", "a.1", b"key", 1]
LOGS = {
    "a wrong answer": [["ok", "a", [2], False, []], CALL],
    "an answer of something that never happened": [["ok", "c", [3], False, []], CALL],
    "an untracked action twice": [["ok", "a", [1], False, ["a.2"]], ["whispered", "a.2"], CALL],
    "two idempotency keys": [CALL, ["call", "a.1", b"other", 2]],
    "a result without a call": [],
}


@pytest.mark.parametrize("records", LOGS.values(), ids=LOGS)
def test_the_audit_notices_in_the_logs(audited: tuple[Audit, Layer, Any], records: list[list[Any]]) -> None:
    audit, _, _ = audited
    audit.read_logs({"client1": records})
    assert len(audit.wrong) == 1


def test_the_audit_notices_in_the_database(audited: tuple[Audit, Layer, Any]) -> None:
    audit, layer, db = audited
    audit.read_logs({"client1": [["ok", "a", [1], False, ["a.2"]], CALL]})
    assert audit.wrong == []
    audit.read_database(layer, db)
    assert any("still pending: ['b.1']" in wrong for wrong in audit.wrong)
    assert any("left over" in wrong for wrong in audit.wrong)
    audit.wrong.clear()
    layer.complete(db, ("three", 3), Done("b.1", ()))
    again = Audit()
    again.read_journal(layer, db)
    again.read_database(layer, db)
    assert again.wrong == []
    again.model.total += 1
    again.read_database(layer, db)
    assert ["total" in wrong for wrong in again.wrong] == [True]


def test_the_audit_notices_a_result_of_another_action(audited: tuple[Audit, Layer, Any]) -> None:
    _, layer, db = audited
    layer.complete(db, ("three", 3), Done("a.1", ()))
    audit = Audit()
    audit.read_journal(layer, db)
    assert any("a.1, which is not pending" in wrong for wrong in audit.wrong)
    assert Act("b.1", "", ()) in [one.holds for one in audit.model.pending.values()]
