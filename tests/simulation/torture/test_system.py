"""The machine of everything in the whole system, from seeds that are always the same."""

from __future__ import annotations

import pytest

from phasm_fdb.simulation import Result, shrink, simulate
from tests.simulation.torture.workload import OPS, TortureWorkload

SEEDS, PARTS = 200, 4
SHRINK_SECONDS = 60.0


def shortened(failing: Result) -> str:
    """What failed, as short as it is made in a minute."""
    short = shrink(TortureWorkload, failing, seconds=SHRINK_SECONDS)
    return f"{short.violation}\n{short}"


@pytest.mark.parametrize("part", range(PARTS))
def test_every_promise_holds(part: int) -> None:
    for seed in range(part, SEEDS, PARTS):
        result = simulate(TortureWorkload, seed=seed, ops=OPS)
        assert result.held, shortened(result)


def test_the_same_seed_is_the_same_run() -> None:
    assert simulate(TortureWorkload, seed=3, ops=OPS).digest == simulate(TortureWorkload, seed=3, ops=OPS).digest
