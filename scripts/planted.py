#!/usr/bin/env python3
"""How soon the simulator finds each planted bug, and how short it makes it: `scripts/planted.py [NAME ...]`.

Prints a table; exit status 1 if a bug is not found within 200 seeds, or not shrunk to 12 steps.
"""

from __future__ import annotations

import argparse
import logging
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from phasm_fdb.simulation import Result, shrink, simulate  # noqa: E402
from tests.simulation.planting import NAMES, Plant, plant  # noqa: E402

MOST_SEEDS, MOST_STEPS = 200, 12
#: Of this process's own time.
SHRINK_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Found:
    """What became of a planted bug.

    Attributes:
        seeds: how many were run until one failed; None if none did.
        steps: of the program after shrinking.
        seconds: of this process, for the search and for shrinking together.
    """

    plant: Plant
    seeds: int | None
    steps: int
    seconds: float
    message: str

    @property
    def is_good(self) -> bool:
        """Whether it was found soon, for the reason that it was planted for, and is short."""
        is_expected = self.message.startswith(self.plant.expected)
        return self.seeds is not None and is_expected and self.steps <= MOST_STEPS


def find(name: str, most_seeds: int) -> Found:
    """Look for a planted bug, and shrink what fails."""
    clock = time.process_time  # what else the machine does makes no difference
    bug, begun = plant(name), clock()
    with bug.planted():
        failing = next((one for seed in range(most_seeds) if not (one := simulate(bug.workload, seed=seed)).held), None)
        if failing is None:
            return Found(bug, None, 0, clock() - begun, "")
        shrunk = shrink(bug.workload, failing, seconds=SHRINK_SECONDS, clock=clock)
    seeds = _seed(failing) + 1
    return Found(bug, seeds, len(shrunk.result.choices), clock() - begun, shrunk.violation.invariant)


def _seed(result: Result) -> int:
    assert result.settings is not None, "a result of one run has its settings"
    return result.settings.seed


def main(arguments: Sequence[str]) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description="How soon each planted bug is found, and how short it is made.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which; all if left out: {', '.join(NAMES)}")
    parser.add_argument("--seeds", type=int, default=MOST_SEEDS, metavar="N", help="give up after so many seeds")
    options = parser.parse_args(arguments)
    unknown = sorted(set(options.names) - set(NAMES))
    if unknown:
        parser.error(f"there is no planted {', '.join(unknown)}")
    logging.disable(logging.CRITICAL)
    print(f"{'bug':<26} {'seeds':>5} {'steps':>5} {'seconds':>7}  what the simulator says")
    all_good = True
    for name in options.names or NAMES:
        found = find(name, options.seeds)
        all_good &= found.is_good
        seeds = "none" if found.seeds is None else str(found.seeds)
        mark = "" if found.is_good else "  <-- "
        print(f"{name:<26} {seeds:>5} {found.steps:>5} {found.seconds:>7.1f}  {found.message[:90]}{mark}", flush=True)
    return 0 if all_good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
