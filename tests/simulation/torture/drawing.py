"""Drawing inputs: what a machine can be told, weighted anew for each seed.

"Swarm testing" (Groce and others, ISSTA 2012): a run that has few kinds of steps, and these often, comes to states that
a fair mix of all never does.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any

from tests.simulation.torture import steps as s

#: How often a kind is drawn, in a seed in which it takes part.
WEIGHTS = (0.0, 0.3, 1.0, 3.0)
#: Sizes of texts; from 100,000 bytes on a value is split.
SIZES = (0, 3, 40, 400, 99_000, 101_000, 190_000)
AFTERS = (0.0, 0.25, 2.0, 30.0, 4000.0)
#: Virtual hours are rare among what is due.
_AFTER_WEIGHTS = (2, 3, 3, 2, 1)


class Drawer:
    """Draws inputs.

    Args:
        rng: of the seed; it decides the weights.
        without: features that are not drawn.

    Attributes:
        rng: draws the inputs; another one may be put in its place.
    """

    def __init__(self, rng: random.Random, without: frozenset[str] = frozenset()) -> None:
        self.rng = rng
        self._without = without
        self._ids = rng.sample(range(len(s.IDS)), rng.choice((1, 2, 4, len(s.IDS))))
        if rng.random() < 0.2:
            self._ids = list(rng.choice(s.EQUAL_IDS))
        keys = [number for number, key in enumerate(s.KEYS) if "\0" not in key or "zero bytes" not in without]
        self._keys = rng.sample(keys, rng.choice((2, 3, len(keys))))
        if rng.random() < 0.2 and len(keys) > len(s.LIKE_KEYS):
            self._keys = list(s.LIKE_KEYS)
        self._large = rng.choice((0.0, 0.03, 0.2, 0.6))
        self._renew = 0.0 if "renew" in without else rng.choice((0.3, 0.7, 1.0))
        self._leaves = self._weighted(LEAVES)
        self._steps = self._weighted({**LEAVES, **EMISSIONS})
        self._longest = rng.choice((1, 3, 6))

    def _weighted(self, kinds: Mapping[str, tuple[float, Any]]) -> dict[str, float]:
        drawn = {name: share * self.rng.choice(WEIGHTS) for name, (share, _) in kinds.items()}
        drawn = {name: weight for name, weight in drawn.items() if weight and name not in self._without}
        return drawn or {"Add": 1.0}

    def do(self, token: str) -> s.Do:
        """An input."""
        count = self.rng.randint(0 if self._longest > 1 else 1, self._longest)
        return s.Do(token, tuple(self._step() for _ in range(count)))

    def result(self) -> tuple[s.Leaf, ...]:
        """What a result tells the machine to do."""
        return self._then()

    def _step(self) -> s.Step:
        name = self._one(self._steps)
        if name in EMISSIONS:
            return EMISSIONS[name][1](self)
        return LEAVES[name][1](self)

    def _one(self, weights: Mapping[str, float]) -> str:
        (name,) = self.rng.choices(list(weights), list(weights.values()))
        return name

    def _then(self) -> tuple[s.Leaf, ...]:
        return tuple(LEAVES[self._one(self._leaves)][1](self) for _ in range(self.rng.choice((0, 0, 1, 2))))

    def id(self) -> int:
        """The number of an id."""
        return self.rng.choice(self._ids)

    def key(self) -> int:
        """The number of a key."""
        return self.rng.choice(self._keys)

    def size(self) -> int:
        """A size of a text."""
        return self.rng.choice(SIZES[4:] if self.rng.random() < self._large else SIZES[:4])

    def order(self) -> int | None:
        """The number of an ordering key, or None."""
        return self.rng.choice((None, None, 0, 0, 1, 2))

    def emit(self) -> s.Emit:
        """A tracked action."""
        rng = self.rng
        after = None if rng.random() < 0.7 or "after" in self._without else self.after()
        size = 95_000 if rng.random() < 0.02 else rng.choice((0, 0, 30))
        return s.Emit(self.id(), rng.random() < self._renew, self.order(), after, size, self._then())

    def afterwards(self) -> s.Afterwards:
        """An input for later."""
        return s.Afterwards(self.id(), self.rng.random() < self._renew, self.after(), self.order(), self._then())

    def after(self) -> float:
        """Seconds until something is due."""
        (seconds,) = self.rng.choices(AFTERS, _AFTER_WEIGHTS)
        return min(seconds, 30.0) if "hours" in self._without else seconds


#: The steps that emit nothing with steps of its own: their share in a fair mix, and how they are drawn.
LEAVES: dict[str, tuple[float, Callable[[Drawer], s.Leaf]]] = {
    "SetWord": (1, lambda d: s.SetWord(d.size())),
    "ClearWord": (0.5, lambda d: s.ClearWord()),
    "Put": (2, lambda d: s.Put(d.key(), d.size())),
    "Drop": (1, lambda d: s.Drop(d.key())),
    "DropRange": (0.4, lambda d: s.DropRange(*sorted((d.key(), d.key()), key=lambda key: s.KEYS[key].encode()))),
    "Deal": (1, lambda d: s.Deal(d.rng.randrange(4), d.rng.randrange(4), d.rng.randint(-9, 9))),
    "TakeCard": (0.5, lambda d: s.TakeCard(d.rng.randrange(4))),
    "Tell": (0.7, lambda d: s.Tell(d.rng.choice(SIZES[:5]))),
    "Add": (1, lambda d: s.Add(d.rng.choice((-(2**40), -1, 1, 7)))),
    "TakeNumber": (1, lambda d: s.TakeNumber()),
    "Look": (1, lambda d: s.Look(d.key())),
    "Cancel": (1, lambda d: s.Cancel(d.id())),
    "Whisper": (0.5, lambda d: s.Whisper()),
    "Mint": (1, lambda d: s.Mint(d.rng.random() < 0.6, d.order())),
    "Refuse": (0.3, lambda d: s.Refuse()),
    "Fail": (0.2, lambda d: s.Fail()),
    "Overfill": (0.05, lambda d: s.Overfill()),
    "Boast": (0.05, lambda d: s.Boast()),
}
#: Those that do.
EMISSIONS: dict[str, tuple[float, Callable[[Drawer], s.Step]]] = {
    "Emit": (3, Drawer.emit),
    "Afterwards": (0.7, Drawer.afterwards),
}
