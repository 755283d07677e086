"""Each mend, undone, is found again by the machine of everything; scripts/torture.py --undone says how soon.

Here a search begins at a seed that is known to find it, so that it is quick. Where a change moves the seeds, the next
ones are tried too.
"""

from __future__ import annotations

import pytest

from tests.simulation.torture.playing import play
from tests.simulation.torture.undoing import NAMES, search

#: Seeds that find what the first ones do not.
KNOWN = {
    "cancelled_while_it_waits": 5094,
    "dead_letter_without_result": 49,
    "ids_by_python": 40,
    "own_receipts_by_the_clock": 426,
    "parts_of_zero_bytes": 71,
    "range_of_zero_bytes": 56,
    "receipts_by_the_clock": 22,
    "receipts_of_pending_actions_expire": 49,
    "repeats_in_a_transaction": 18,
    "resize_revives": 93,
    "result_is_asked_for_again": 24,
    "second_run_forgets_large": 319,
    "second_run_hides_errors": 17,
}
MOST_TRIES = 100


@pytest.mark.parametrize("name", NAMES)
def test_an_undone_mend_is_found(name: str) -> None:
    assert search(name, MOST_TRIES, KNOWN.get(name, 0), is_quick=True).seeds is not None


def test_without_them_the_same_seeds_hold() -> None:
    """What is found is what was undone."""
    for seed in sorted(set(KNOWN.values())):
        assert play(seed).error is None
