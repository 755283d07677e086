"""`phasm_fdb.error_codes` and `FDBError` against what a FoundationDB 7.3.79 client says of every code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from phasm_fdb import error_codes
from phasm_fdb.errors import FDBError

RECORD: dict[int, dict[str, Any]] = {
    int(code): entry
    for code, entry in json.loads((Path(__file__).parent / "golden" / "errors.json").read_text()).items()
}


def _codes(predicate: str) -> set[int]:
    return {code for code, entry in RECORD.items() if entry[predicate]}


def test_descriptions() -> None:
    assert {code: entry["description"] for code, entry in RECORD.items()} == error_codes.DESCRIPTIONS


@pytest.mark.parametrize("predicate", ["retryable", "maybe_committed", "retryable_not_committed"])
def test_predicates(predicate: str) -> None:
    assert _codes(predicate)
    assert _codes(predicate) == getattr(error_codes, predicate.upper())


def test_an_error_says_what_its_code_says() -> None:
    for code, entry in RECORD.items():
        error = FDBError(code)
        assert error.description == entry["description"]
        assert error.retryable is entry["retryable"]
        assert error.maybe_committed is entry["maybe_committed"]
        assert str(error) == f"{entry['description']} ({code})"


def test_an_unknown_code_is_still_an_error() -> None:
    error = FDBError(9999)
    assert str(error) == "Unknown error (9999)"
    assert not error.retryable
    assert not error.maybe_committed
