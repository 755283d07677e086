"""How a run is set up: how many workers and clients, how dense in time, which faults, drawn from its seed."""

from __future__ import annotations

import dataclasses
import random
from dataclasses import dataclass
from typing import Any

from phasm_fdb.simulation import faults

#: Where a run begins, in seconds since the epoch: 1 January 2024.
EPOCH = 1_704_067_200.0

DEFAULT_OPS = 1000
#: In this share of the runs that may lose power the database is a file, which is ten times slower than memory.
REOPENS = 0.1

#: How clients send inputs.
APPLY, SUBMIT, CALL = "apply", "submit", "call"
#: Several inputs in a transaction of the client's own.
TOGETHER = "together"


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of one run. Together with its choices they are all that it depends on.

    Attributes:
        seed: where all of it was drawn from; decides inputs and outside world also when choices are played.
        ops: how many operations, each an input or a completion.
        workers, clients: how many run at once.
        lanes: of the layer.
        lease_seconds, poll_seconds, concurrency: of the workers.
        gap_seconds: the mean time between two inputs of a client.
        modes: the weights with which clients `apply`, `submit` and wait, or `call`.
        faults: the probability of each kind of fault at one decision.
        slowness: delays are so many times as long as their kinds draw them, up to the longest there is.
        journal: every input is journaled, and the journal is replayed at rest.
        reopens: the database is a file, which is reopened at crashes.
    """

    seed: int
    ops: int = DEFAULT_OPS
    workers: int = 2
    clients: int = 3
    lanes: int = 8
    lease_seconds: float = 10.0
    poll_seconds: float = 5.0
    concurrency: int = 64
    gap_seconds: float = 0.1
    modes: tuple[float, float, float] = (1.0, 1.0, 1.0)
    faults: dict[str, float] = dataclasses.field(default_factory=dict)
    slowness: float = 1.0
    journal: bool = False
    reopens: bool = False

    def as_dict(self) -> dict[str, Any]:
        """The settings as JSON has them."""
        return dataclasses.asdict(self)


def draw(
    seed: int,
    *,
    ops: int = DEFAULT_OPS,
    workers: int | None = None,
    kinds: str | dict[str, float] = "default",
) -> Settings:
    """The settings of a seed.

    Args:
        workers: how many; None to draw from 1 to 4.
        kinds: which faults, as `faults.parse` gives it.
    """
    chance = random.Random(f"phasm settings {seed}")
    drawn_workers = chance.choice((1, 2, 2, 3, 4))
    clients = chance.choice((1, 2, 3, 5, 8))
    lanes = chance.choice((1, 2, 4, 8))
    gap = chance.choice((0.01, 0.05, 0.1, 0.3))
    modes = chance.choice(((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (1.0, 1.0, 1.0), (1.0, 3.0, 1.0)))
    concurrency = chance.choice((1, 4, 64))
    journal = chance.random() < 0.5
    reopens = chance.random() < REOPENS
    if isinstance(kinds, str):
        kinds = faults.drawn(seed, kinds)
    return Settings(
        seed=seed,
        ops=ops,
        workers=workers if workers is not None else drawn_workers,
        clients=clients,
        lanes=lanes,
        gap_seconds=gap * clients,
        modes=modes,
        concurrency=concurrency,
        faults=kinds,
        journal=journal,
        reopens=reopens and "torn tail" in kinds,
    )


def stream(seed: int, purpose: str) -> random.Random:
    """The random numbers of one purpose, which do not depend on how many the others used."""
    return random.Random(f"phasm {seed} {purpose}")
