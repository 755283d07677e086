#!/usr/bin/env python3
"""Simulate the correct layers from thousands of new seeds, for a night: `scripts/nightly.py --seed 261124000 --jobs 8`.

Prints a line for each workload as it ends, what was violated with the command that shows it again, and in the end how
often each kind of fault happened; then does all of `scripts/torture.py` and `scripts/resources.py`. Exit status 1 if
anything was violated, a kind of fault never happened, or something was left behind.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from layers.dentist_booking.scenarios import SCENARIOS  # noqa: E402
from phasm_fdb.simulation import Result, Scenario  # noqa: E402
from phasm_fdb.simulation.faults import KINDS, ON_REQUEST  # noqa: E402
from phasm_fdb.simulation.report.progress import Tally, shown  # noqa: E402
from phasm_fdb.simulation.run.parallel import Mission, fly  # noqa: E402
from phasm_fdb.simulation.settings import DEFAULT_OPS  # noqa: E402
from scripts import resources, torture  # noqa: E402

WORKLOADS = {
    **{name: scenario for name, scenario in SCENARIOS.items() if name != "long"},
    "layers.coffee_shop.workload:CoffeeShopWorkload": Scenario("layers.coffee_shop.workload:CoffeeShopWorkload"),
    "layers.counter.workload:CounterWorkload": Scenario("layers.counter.workload:CounterWorkload"),
}
SEEDS = 10_000


def simulate(name: str, options: argparse.Namespace, number: int) -> Result:
    """Run one workload's share of the seeds, and say how it went.

    Args:
        number: of the workload, from 0: each has seeds of its own.
    """
    scenario, share = WORKLOADS[name], -(-options.seeds // len(WORKLOADS))
    mission = Mission(
        scenario.workload,
        seed=options.seed + number * share,
        seeds=share,
        seconds=None if options.time is None else options.time / len(WORKLOADS),
        ops=options.ops,
        workers=scenario.workers,
        faults=scenario.faults,
        jobs=options.jobs,
    )
    tally, begun = Tally(time.monotonic), time.monotonic()
    with shown(share, is_wanted=True) as tell:

        def look(result: Result) -> None:
            tally.add(result)
            tell(result)

        result = fly(mission, look)
    print(f"{name:<48} {tally.line}, {time.monotonic() - begun:,.0f} s", flush=True)
    for violation in result.violations:
        print(f"  seed {violation.seed}: violated: {violation.invariant}")
        print(
            f"    see it again: python scripts/simulate.py {name} --seed {violation.seed} --ops {options.ops}",
            flush=True,
        )
    return result


def main(arguments: Sequence[str]) -> int:
    """Run them all."""
    parser = argparse.ArgumentParser(description="Simulate the correct layers from many new seeds.")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="the first seed, such as the date")
    parser.add_argument("--seeds", type=int, default=SEEDS, metavar="N", help=f"of all workloads (default {SEEDS:,})")
    parser.add_argument("--time", type=float, metavar="SECONDS", help="for so long at most, of all workloads")
    parser.add_argument("--ops", type=int, default=DEFAULT_OPS, metavar="N", help="operations of each run")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, metavar="N", help="how many processes")
    parser.add_argument(
        "--torture", type=int, default=SEEDS, metavar="N", help=f"seeds of scripts/torture.py (default {SEEDS:,})"
    )
    parser.add_argument(
        "--resources", type=float, default=1.0, metavar="X", help="do so much of scripts/resources.py (default 1, all)"
    )
    options = parser.parse_args(arguments)
    results = [simulate(name, options, number) for number, name in enumerate(WORKLOADS)]
    faults: Counter[str] = Counter()
    for result in results:
        faults.update({kind: result.counts.get(f"fault {kind}", 0) for kind in KINDS if kind not in ON_REQUEST})
    print(f"{sum(result.seeds for result in results):,} seeds; faults:")
    for kind, count in faults.items():
        print(f"  {kind:<20} {count:>10,}" + ("" if count else "  <-- never"))
    all_happened = all(faults.values())
    tortured = options.torture and torture.main(
        ["--seed", str(options.seed), "--seeds", str(options.torture), "--jobs", str(options.jobs)]
    )
    left_behind = bool(options.resources) and resources.main(["--share", str(options.resources)])
    return 0 if all(result.held for result in results) and all_happened and not left_behind and not tortured else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
