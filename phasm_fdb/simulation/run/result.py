"""What came out of simulated runs."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from phasm_fdb.simulation.choices import Choice
from phasm_fdb.simulation.settings import Settings
from phasm_fdb.simulation.trace import Event


@dataclass(frozen=True, slots=True)
class Violation:
    """Something that should always hold, and did not.

    Attributes:
        seed: of the run.
        step: which operation of the run it was, from 1; 0 is the setup, and one more than `ops` the end.
        invariant: what was violated, with the keys and values that show it.
        input: the input that led there, where there is one.
        traceback: where it was raised.
    """

    seed: int
    step: int
    invariant: str
    input: str | None = None
    traceback: str = field(default="", repr=False)

    @property
    def is_of_a_run(self) -> bool:
        """Whether a run shows it; that a `sometimes` property never held is not seen in one."""
        return not self.invariant.startswith("sometimes ")

    def as_dict(self) -> dict[str, Any]:
        """The violation as JSON has it."""
        return {"seed": self.seed, "step": self.step, "invariant": self.invariant, "input": self.input}


@dataclass(frozen=True, slots=True)
class Result:
    """The outcome of one run, or of several together.

    Attributes:
        seeds: how many runs.
        operations: inputs and completions that were tried.
        transitions: those that were committed, with the setup and the way to rest.
        rejections: inputs that the machine refused.
        crashes: how often everything in memory was lost and restored.
        virtual_seconds: how much time went by in the runs.
        counts: how often each kind of input, result, action, rejection and event occurred.
        violations: at most one for each run, which ends with it.
        digest: hexadecimal SHA-256 of all that happened; the same for the same seeds, always and everywhere.
        settings, choices: what the run depended on: `play` with them gives the same digest. Of one run only.
        events: what happened, if that was kept. Of one run only.
    """

    seeds: int
    operations: int
    transitions: int
    rejections: int
    crashes: int
    virtual_seconds: float
    counts: Mapping[str, int]
    violations: tuple[Violation, ...]
    digest: str
    settings: Settings | None = field(default=None, repr=False)
    choices: tuple[Choice, ...] = field(default=(), repr=False)
    events: tuple[Event, ...] = field(default=(), repr=False)

    @property
    def held(self) -> bool:
        """Whether nothing was violated."""
        return not self.violations

    def as_dict(self) -> dict[str, Any]:
        """The result as JSON has it."""
        return {
            "seeds": self.seeds,
            "operations": self.operations,
            "transitions": self.transitions,
            "rejections": self.rejections,
            "crashes": self.crashes,
            "virtual_seconds": self.virtual_seconds,
            "counts": dict(sorted(self.counts.items())),
            "violations": [violation.as_dict() for violation in self.violations],
            "digest": self.digest,
        }


def combine(results: Iterable[Result]) -> Result:
    """Several results as one; their digest is that of their digests, in order, unless there is just one."""
    results = list(results)
    if len(results) == 1:
        return results[0]
    counts: Counter[str] = Counter()
    for result in results:
        counts.update(result.counts)
    digests = [result.digest for result in results]
    return Result(
        seeds=sum(result.seeds for result in results),
        operations=sum(result.operations for result in results),
        transitions=sum(result.transitions for result in results),
        rejections=sum(result.rejections for result in results),
        crashes=sum(result.crashes for result in results),
        virtual_seconds=round(sum(result.virtual_seconds for result in results), 3),
        counts=dict(counts),
        violations=tuple(violation for result in results for violation in result.violations),
        digest=hashlib.sha256("\n".join(digests).encode()).hexdigest(),
    )
