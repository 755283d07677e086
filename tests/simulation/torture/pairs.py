"""Which features have met which other ones, and which faults: a pair that never met was never tested.

In the game two of them meet that occur in the same step, or within a few steps of each other; in the whole system those
that occur in the same run.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable

from phasm_fdb.simulation import Result
from phasm_fdb.simulation.faults import KINDS as FAULTS
from tests.simulation.torture.drawing import EMISSIONS, LEAVES
from tests.simulation.torture.game import STEPS, Game
from tests.simulation.torture.seats import SETTINGS
from tests.simulation.torture.trouble import KINDS as TROUBLES
from tests.simulation.torture.workload import TortureWorkload

#: Steps that are so near meet each other.
WINDOW = 5
#: What the game does, and what happens to it.
OF_GAMES = (
    *LEAVES,
    *EMISSIONS,
    *STEPS,
    *(f"process: {kind}" for kind in SETTINGS),
    *("clock jumps hours", "reset", "retry", "commit of several", "transaction used again", "reads its own writes"),
    *TROUBLES,
)
#: The same for the whole system, whose database is a file in a few runs only.
OF_RUNS = (*LEAVES, *EMISSIONS, *(kind for kind in FAULTS if kind != "torn tail"))


class Pairs:
    """Pairs that met, counted over runs.

    Attributes:
        games, runs: how often each pair met, by its two names in alphabetical order.
    """

    def __init__(self) -> None:
        self.games: Counter[tuple[str, str]] = Counter()
        self.runs: Counter[tuple[str, str]] = Counter()

    def add_game(self, game: Game) -> None:
        """Count the pairs of a game."""
        for end in range(1, len(game.met) + 1):
            near = set().union(*game.met[max(0, end - WINDOW) : end])
            self.games.update(_pairs(near))

    def add_run(self, workload: TortureWorkload, result: Result) -> None:
        """Count the pairs of a run of the whole system."""
        faults = {kind for kind in FAULTS if result.counts.get(f"fault {kind}")}
        self.runs.update(_pairs(workload.done | faults))

    def never(self) -> list[str]:
        """The pairs that can occur and never did, in words."""
        games = (pair for pair in _pairs(OF_GAMES) if not self.games[pair])
        runs = (pair for pair in _pairs(OF_RUNS) if not self.runs[pair])
        return [f"game: {one} x {two}" for one, two in games] + [f"system: {one} x {two}" for one, two in runs]

    def rarest(self, count: int) -> list[str]:
        """The pairs that met least often, in words."""
        named = [("game", pair, met) for pair, met in self.games.items()]
        named += [("system", pair, met) for pair, met in self.runs.items()]
        return [
            f"{net}: {one} x {two}: {met}" for net, (one, two), met in sorted(named, key=lambda row: row[2])[:count]
        ]

    def as_dict(self) -> dict[str, dict[str, int]]:
        """All counts as JSON has them."""
        return {
            "game": {" x ".join(pair): met for pair, met in sorted(self.games.items())},
            "system": {" x ".join(pair): met for pair, met in sorted(self.runs.items())},
        }

    def __iadd__(self, other: Pairs) -> Pairs:
        self.games.update(other.games)
        self.runs.update(other.runs)
        return self


def _pairs(names: Iterable[str]) -> Iterable[tuple[str, str]]:
    return itertools.combinations(sorted(set(names)), 2)
