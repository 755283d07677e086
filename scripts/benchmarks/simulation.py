"""How much a simulation gets through on one core: checked transitions a second, and virtual seconds a real one.

A checked transition was committed, decided a second time alone, and looked at by every oracle. Time is this process's
own, so that whatever else runs on the machine makes little difference.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from layers.coffee_shop.workload import CoffeeShopWorkload
from layers.counter.workload import CounterWorkload
from layers.dentist_booking.workload import BookingWorkload
from phasm_fdb.simulation import Workload
from phasm_fdb.simulation.faults import KINDS
from phasm_fdb.simulation.run.runner import simulate_with
from phasm_fdb.simulation.settings import draw
from scripts.benchmarks.measure import count, table

WORKLOADS: tuple[type[Workload], ...] = (CounterWorkload, CoffeeShopWorkload, BookingWorkload)
OPS = 2_000


@dataclass(frozen=True)
class Way:
    """How it is run.

    Attributes:
        faults: the probability of each kind.
        aim: checked transitions a second.
    """

    name: str
    workers: int
    faults: dict[str, float]
    aim: int


WAYS = (
    Way("no faults, 1 worker", 1, {}, 20_000),
    Way("all faults, 4 workers", 4, {name: kind.often for name, kind in KINDS.items()}, 4_000),
)


@dataclass
class Measured:
    """What some runs came to."""

    transitions: int = 0
    virtual_seconds: float = 0.0
    seconds: float = 0.0


def measure(workload: type[Workload], way: Way, seconds: float, ops: int) -> Measured:
    """Run seeds for about so many seconds, each until its end."""
    measured, seed = Measured(), 0
    simulate_with(workload, draw(seed, ops=100, workers=way.workers, kinds=way.faults))
    while measured.seconds < seconds:
        settings = replace(draw(seed, ops=ops, workers=way.workers, kinds=way.faults), reopens=False)
        begun = time.process_time()
        result = simulate_with(workload, settings)
        measured.seconds += time.process_time() - begun
        assert result.held, result.violations
        measured.transitions += result.transitions
        measured.virtual_seconds += result.virtual_seconds
        seed += 1
    return measured


def row(workload: type[Workload], way: Way, seconds: float, ops: int) -> list[str]:
    measured = measure(workload, way, seconds, ops)
    a_second = measured.transitions / measured.seconds
    return [
        way.name,
        workload.__name__,
        count(a_second),
        f"{1e6 / a_second:.0f}",
        f"{a_second / way.aim:.2f} of {way.aim:,}",
        count(measured.virtual_seconds / measured.seconds),
    ]


def where_the_time_goes(workload: type[Workload], seconds: float, ops: int) -> list[tuple[str, str]]:
    """The share of each part in a profile; a profile slows small functions most, so read it as an order."""
    profile = cProfile.Profile()
    profile.enable()
    measure(workload, WAYS[0], seconds, ops)
    profile.disable()
    parts: dict[str, float] = dict.fromkeys(
        ("oracles", "simulator", "engine", "worker", "layer", "machine", "other"), 0.0
    )
    stats: Any = pstats.Stats(profile)
    for (file, _, _), (_, _, own_seconds, _, _) in stats.stats.items():
        parts[part_of(file)] += own_seconds
    whole = sum(parts.values())
    return [(part, f"{100 * spent / whole:.0f} %") for part, spent in parts.items()]


def part_of(file: str) -> str:
    for part, mark in (
        ("oracles", "phasm_fdb/simulation/oracles/"),
        ("simulator", "phasm_fdb/simulation/"),
        ("engine", "phasm_fdb/embedded/"),
        ("worker", "phasm_fdb/runtime/"),
        ("layer", "phasm_fdb/"),
        ("machine", "layers/"),
    ):
        if mark in file:
            return part
    return "other"


def run(argv: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="scripts/benchmark.py simulation", description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0, help="how long each measurement runs")
    parser.add_argument("--ops", type=int, default=OPS, help="operations of each run")
    options = parser.parse_args(argv)
    body = [row(workload, way, options.seconds, options.ops) for way in WAYS for workload in WORKLOADS]
    header = ["way", "workload", "checked transitions/s", "us each", "of the aim", "virtual s/s"]
    table("Simulation on one core", header, body)
    table(
        "Where the time goes (CounterWorkload, no faults, profiled)",
        ["part", "share"],
        where_the_time_goes(CounterWorkload, options.seconds, options.ops),
    )
