"""The mends that can be undone, by name, and how soon the machine of everything finds one again."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from phasm_fdb.simulation import simulate
from tests.simulation.torture.playing import play
from tests.simulation.torture.workload import OPS, TortureWorkload

NAMES = sorted(path.stem for path in (Path(__file__).parent / "undone").glob("[a-z]*.py"))


@dataclass(frozen=True)
class Found:
    """How soon an undone mend was found.

    Attributes:
        net: "callers" for the game, "system" for the simulator.
        seeds: how many were played until one failed; None if none did.
    """

    net: str
    seeds: int | None
    message: str = ""


def search(name: str, most_seeds: int, first: int = 0, is_quick: bool = False) -> Found:
    """Undo a mend, and look for it.

    Args:
        is_quick: let the system have the faults alone that the file names as `QUICK`.
    """
    module = importlib.import_module(f"tests.simulation.torture.undone.{name}")
    with module.undone():
        for seed in range(first, first + most_seeds):
            message = (
                _play(seed) if module.NET == "callers" else _simulate(seed, module.QUICK if is_quick else "default")
            )
            if message:
                return Found(module.NET, seed - first + 1, message)
    return Found(module.NET, None)


def _play(seed: int) -> str:
    return play(seed).message


def _simulate(seed: int, faults: str | Mapping[str, float]) -> str:
    result = simulate(TortureWorkload, seed=seed, ops=OPS, faults=faults)
    return "" if result.held else result.violations[0].invariant
