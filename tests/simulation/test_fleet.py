"""The correct layers over many seeds, in which every kind of fault happens; scripts/nightly.py has 10,000 of them."""

from __future__ import annotations

from collections import Counter

from layers.coffee_shop.workload import CoffeeShopWorkload
from layers.counter.workload import CounterWorkload
from layers.dentist_booking.workload import BookingWorkload
from phasm_fdb.simulation import sweep
from phasm_fdb.simulation.faults import KINDS, ON_REQUEST

FLEET = ((BookingWorkload, 80), (CoffeeShopWorkload, 60), (CounterWorkload, 60))
OPS = 100


def test_the_correct_layers_hold_over_200_seeds_that_have_every_kind_of_fault() -> None:
    counts: Counter[str] = Counter()
    first = 0
    for workload, seeds in FLEET:
        result = sweep(workload, seed=first, seeds=seeds, ops=OPS)
        assert result.violations == ()
        counts.update(result.counts)
        first += seeds
    assert first == 200
    assert [kind for kind in KINDS if not counts[f"fault {kind}"] and kind not in ON_REQUEST] == []
