"""Playing games: one by its seed, made short if it fails."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tests.simulation.torture.game import Game
from tests.simulation.torture.not_yet import NOT_YET

STEPS = 80
#: How much of a message tells one failure from another.
SAME = 40


@dataclass(frozen=True)
class Played:
    """A game that has ended.

    Attributes:
        error: what went wrong; None if nothing did.
    """

    seed: int
    steps: tuple[int, ...]
    game: Game
    error: Exception | None

    @property
    def message(self) -> str:
        """What went wrong, in words."""
        return "" if self.error is None else f"{type(self.error).__name__}: {self.error}"

    def __str__(self) -> str:
        told = "\n".join(line[:1000] for line in self.game.told)
        return f"seed {self.seed}, steps {list(self.steps)}:\n{told}\n{self.message}"


def play(seed: int, steps: Sequence[int] = range(1, STEPS + 1), without: frozenset[str] = NOT_YET) -> Played:
    """Play the game of a seed, or some of its steps."""
    game = Game(seed, steps, without)
    try:
        game.play()
    except Exception as error:
        return Played(seed, tuple(steps), game, error)
    return Played(seed, tuple(steps), game, None)


def shortened(played: Played, without: frozenset[str] = NOT_YET) -> Played:
    """A failing game with as few steps as still fail in the same way."""
    size = len(played.steps) // 2
    while size:
        start = 0
        while start < len(played.steps):
            shorter = play(played.seed, played.steps[:start] + played.steps[start + size :], without)
            if shorter.message[:SAME] == played.message[:SAME]:
                played = shorter
            else:
                start += size
        size //= 2
    return played
