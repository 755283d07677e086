"""Callers who do all that callers can, against the model, from seeds that are always the same."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest

from phasm_fdb.receipts import Receipts
from tests.simulation.torture.playing import play, shortened

SEEDS, PARTS = 200, 4


@pytest.mark.parametrize("part", range(PARTS))
def test_every_promise_holds(part: int) -> None:
    for seed in range(part, SEEDS, PARTS):
        played = play(seed)
        assert played.error is None, str(shortened(played))


def test_a_seed_is_one_game() -> None:
    first, again = play(7), play(7)
    assert first.game.told == again.game.told and first.game.told


@contextlib.contextmanager
def _forgetful() -> Iterator[None]:
    """Receipts that are never found."""

    def find(self: Receipts, staged: Any, key: bytes) -> None:
        return None

    with mock.patch.object(Receipts, "find", find):
        yield


def test_what_is_wrong_is_found_and_made_short() -> None:
    with _forgetful():
        failing = next(played for seed in range(20) if (played := play(seed)).error is not None)
        short = shortened(failing)
    assert short.error is not None and len(short.steps) < len(failing.steps)
    assert str(short).splitlines()[0].startswith(f"seed {short.seed}, steps [")
