"""Every answer of the recorded programs, call by call: the engine against a FoundationDB 7.3.79 cluster."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import pytest

from tests.conformance import cluster_engine
from tests.conformance.player import Case, Difference, first_difference, load

RECORDS = sorted((Path(__file__).parent / "golden").glob("traces-*.json.gz"))
KINDS = ("plain", "edges", "stamps", "options", "watches")

#: How many failing programs of one batch are printed in full.
SHOWN = 3

CLUSTER_TRIES = 8


@functools.cache
def _cases(record: Path) -> dict[str, list[Case]]:
    """The cases of a record by kind: the first word of a case's name."""
    cases: dict[str, list[Case]] = {kind: [] for kind in KINDS}
    for case in load(record):
        cases[case.name.split()[0]].append(case)
    return cases


def _difference(engine: Any, case: Case) -> Difference | None:
    """The first answer that differs; a cluster may try again, for its own watches are cancelled late or never."""
    tries = CLUSTER_TRIES if engine is cluster_engine else 1
    found = None
    for _ in range(tries):
        found = first_difference(engine, case)
        if found is None:
            break
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_answers_as_the_cluster_did(engine: Any, kind: str) -> None:
    if engine is cluster_engine and not cluster_engine.is_scratch():
        pytest.skip(cluster_engine.NOT_SCRATCH)
    cases = [case for record in RECORDS for case in _cases(record)[kind]]
    assert cases, f"no record has a case of kind {kind}"
    differences = [found for case in cases if (found := _difference(engine, case)) is not None]
    shown = "\n\n".join(map(str, differences[:SHOWN]))
    assert not differences, f"{len(differences)} of {len(cases)} cases differ:\n\n{shown}"


def test_the_records_hold_every_case() -> None:
    assert len(RECORDS) == 4
    assert sum(len(cases) for record in RECORDS for cases in _cases(record).values()) == 3075
