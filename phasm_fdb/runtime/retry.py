"""When a failed call is made again, and when it is given up."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

#: So often is a transition tried that fails on a kept result, and on an input that the machine sent itself, where no
#: policy says otherwise: over twenty minutes or so, in which new code may be deployed.
MOST_TRANSITIONS = 30

#: Beyond this exponent every delay has long reached its maximum, and the power would be too large for a float.
LAST_EXPONENT = 60


@dataclass(frozen=True, slots=True)
class Retry:
    """The retry policy of an action type: exponential backoff with full jitter.

    The delay before attempt n + 1 is random between 0 and `first_delay * factor ** (n - 1)`, at most `max_delay`
    (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/, "full jitter").

    Attributes:
        first_delay, max_delay: in seconds.
        factor: by how much the bound of the delay grows with each attempt.
        max_attempts: give up after that many; None for no bound. If the machine fails on the result, the call is not
            made again: the transition is, after the same delays and as often (30 times if there is no bound).
        timeout: seconds that one attempt may take, counted from its last heartbeat; None for no bound. A plain
            function in a thread cannot be stopped: its result is dropped.
        total: seconds from the first start in which all attempts have to fit; None for no bound.
        final: exceptions after which no attempt can succeed: give up at once.
        on_exhausted: makes, of the action and the last exception, the declared result that is fed to the machine
            when the action is given up. Without it a given-up action goes to the dead letters.
    """

    first_delay: float = 0.1
    max_delay: float = 60.0
    factor: float = 2.0
    max_attempts: int | None = None
    timeout: float | None = 300.0
    total: float | None = None
    final: tuple[type[Exception], ...] = ()
    on_exhausted: Callable[[Any, BaseException], Any] | None = None

    def __post_init__(self) -> None:
        if self.first_delay < 0 or self.max_delay < self.first_delay or self.factor < 1:
            raise ValueError(f"{self} has no increasing delays: 0 <= first_delay <= max_delay, and factor >= 1")
        if self.max_attempts is not None and self.max_attempts < 1:
            raise ValueError(f"max_attempts is {self.max_attempts}, and must be at least 1")
        for name in ("timeout", "total"):
            seconds = getattr(self, name)
            if seconds is not None and seconds <= 0:
                raise ValueError(f"{name} is {seconds} seconds, and must be positive")

    def delay(self, number: int, chance: random.Random) -> float:
        """Seconds to wait after attempt `number` has failed."""
        return chance.uniform(0, self.longest_delay(number))

    def longest_delay(self, number: int) -> float:
        """Seconds to wait at most after attempt `number` has failed."""
        return min(self.first_delay * self.factor ** min(number - 1, LAST_EXPONENT), self.max_delay)

    @property
    def max_transitions(self) -> int:
        """How often the transition of a result is tried before the action is given up."""
        return MOST_TRANSITIONS if self.max_attempts is None else self.max_attempts

    def is_spent(self, number: int, error: BaseException, elapsed: float) -> bool:
        """Whether to give up after attempt `number` failed with `error`, `elapsed` seconds after the first start."""
        if isinstance(error, self.final):
            return True
        if self.max_attempts is not None and number >= self.max_attempts:
            return True
        return self.total is not None and elapsed >= self.total
