#!/usr/bin/env python3
"""Torture the layer from many seeds: `scripts/torture.py --seeds 10000 --jobs 8 --pairs pairs.json`.

Each seed is a game of callers and a run of the whole system with the machine of everything (tests/simulation/torture).
Prints what failed, made short, and how well the pairs of features and faults are covered. With `--undone` it undoes
each mend, one at a time, and prints after how many seeds it is found again. Exit status 1 if anything failed, a pair
that can occur never did (from 10,000 seeds on), or an undone mend was not found within 500 seeds.
"""

from __future__ import annotations

import argparse
import json
import logging
import multiprocessing
import os
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from phasm_fdb.simulation import shrink, simulate  # noqa: E402
from tests.simulation.torture.pairs import Pairs  # noqa: E402
from tests.simulation.torture.playing import play, shortened  # noqa: E402
from tests.simulation.torture.undoing import NAMES, search  # noqa: E402
from tests.simulation.torture.workload import OPS, TortureWorkload  # noqa: E402

SEEDS, MOST_SEEDS = 10_000, 500
#: From so many seeds on every pair has to have met.
ENOUGH_SEEDS = 10_000
#: So many seeds are one job.
SHARE = 25
SHRINK_SECONDS = 120.0
RAREST = 20


def torture(seeds: range) -> tuple[Pairs, list[str]]:
    """Play the games and make the runs of some seeds: the pairs that met, and what failed."""
    logging.disable(logging.CRITICAL)
    pairs, failures = Pairs(), []
    for seed in seeds:
        played = play(seed)
        pairs.add_game(played.game)
        if played.error is not None:
            failures.append(f"game: {shortened(played)}")
        workload = TortureWorkload()
        result = simulate(lambda one=workload: one, seed=seed, ops=OPS)  # type: ignore[misc]
        pairs.add_run(workload, result)
        if not result.held:
            short = shrink(TortureWorkload, result, seconds=SHRINK_SECONDS)
            failures.append(f"system, seed {seed}: {short.violation.invariant}\n{short.result.choices}")
    return pairs, failures


def undone() -> bool:
    """Print how soon each undone mend is found; whether all are."""
    logging.disable(logging.CRITICAL)
    print(f"{'undone':<36} {'net':<8} {'seeds':>5}  what it says")
    all_found = True
    for name in NAMES:
        found = search(name, MOST_SEEDS)
        all_found &= found.seeds is not None
        print(f"{name:<36} {found.net:<8} {found.seeds or 'none':>5}  {found.message[:90]}", flush=True)
    return all_found


def main(arguments: Sequence[str]) -> int:
    """Torture it."""
    parser = argparse.ArgumentParser(description="Torture the layer from many seeds.")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="the first seed, such as the date")
    parser.add_argument("--seeds", type=int, default=SEEDS, metavar="N", help=f"how many (default {SEEDS:,})")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, metavar="N", help="how many processes")
    parser.add_argument("--pairs", type=Path, metavar="FILE", help="write all pairs with their counts there, as JSON")
    parser.add_argument("--undone", action="store_true", help="undo the mends instead, one at a time")
    options = parser.parse_args(arguments)
    if options.undone:
        return 0 if undone() else 1
    last = options.seed + options.seeds
    shares = [range(first, min(first + SHARE, last)) for first in range(options.seed, last, SHARE)]
    pairs, failed = Pairs(), 0
    with multiprocessing.get_context("spawn").Pool(options.jobs) as pool:
        for some, failures in pool.imap(torture, shares):
            pairs += some
            failed += len(failures)
            for failure in failures:
                print(failure, flush=True)
    if options.pairs is not None:
        options.pairs.write_text(json.dumps(pairs.as_dict(), indent=1))
    never = pairs.never()
    met = len(pairs.games) + len(pairs.runs)
    print(f"{options.seeds:,} seeds, {failed} failed; {met:,} pairs met, {len(never)} that can occur never did")
    for line in (*never[:RAREST], *pairs.rarest(RAREST)):
        print(f"  {line}")
    return 1 if failed or (never and options.seeds >= ENOUGH_SEEDS) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
