"""What a run decides by chance, as a list: recorded while a seed runs, and played again from the list alone.

A decision has a default, which is the dull thing: no fault, no delay, the first in the queue. Only what differs from
the default is a `Choice`, so a run of thousands of decisions is a short list, and a shorter list is a duller run.
A choice is named by who decides, what about, and the how manieth such decision of theirs it is. Therefore taking one
out leaves the others in place: a choice that is missing falls back to the default, and one that is never asked for
has no effect. Shrinking works on nothing but this list.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

Value = Any
Draw = Callable[[random.Random], Value]

#: A chance that is smaller counts as none.
LEAST_PROBABILITY = 1e-9


@dataclass(frozen=True, slots=True)
class Choice:
    """One decision that was not the default.

    Attributes:
        who: who decided: "op 12" (the client that executes this operation), "worker 1", "world", "loop".
        what: what about: "1021 done", "latency", "crash", "schedule".
        index: the how manieth such decision of theirs, from 1.
        value: what was decided; of JSON's types.
    """

    who: str
    what: str
    index: int
    value: Value

    @property
    def is_input(self) -> bool:
        """Whether without it one operation less is executed; all others are faults and schedule."""
        return self.what == EXECUTE

    def line(self) -> str:
        """The choice as a line of text."""
        return f"{self.who} | {self.what} | {self.index} | {json.dumps(self.value)}"

    @classmethod
    def parse(cls, line: str) -> Choice:
        """The choice that a line holds; raises ValueError if it holds none."""
        who, what, index, value = (part.strip() for part in line.split("|", 3))
        return cls(who, what, int(index), json.loads(value))


#: The choice to execute an operation at all; its value says when, by which client and how.
EXECUTE = "execute"
#: The choice of a client to come once more and find that the run has enough operations, or is over.
LEAVE = "leave"


class Choices:
    """Makes the decisions of one run, and lists them.

    Args:
        chance: makes them by chance; None to play `planned`.
        planned: the choices to make; every decision that is not among them is the default.

    Attributes:
        taken: the choices made so far, in order.
        told: called with each of them.
    """

    def __init__(self, chance: random.Random | None, planned: Iterable[Choice] = ()) -> None:
        self.chance = chance
        self.taken: list[Choice] = []
        self.told: Callable[[Choice], None] | None = None
        self._planned: dict[tuple[str, str], dict[int, Value]] = {}
        for choice in planned:
            self._planned.setdefault((choice.who, choice.what), {})[choice.index] = choice.value

    @classmethod
    def by_chance(cls, seed: int) -> Choices:
        """Decide by a seed."""
        return cls(random.Random(f"phasm choices {seed}"))

    @classmethod
    def played(cls, planned: Iterable[Choice]) -> Choices:
        """Decide as a list says."""
        return cls(None, planned)

    @property
    def is_played(self) -> bool:
        """Whether a list is played."""
        return self.chance is None

    def site(self, who: str, what: str, probability: float, draw: Draw | None = None) -> Site:
        """A place where the same kind of decision is made again and again.

        Args:
            probability: of a decision that is not the default; without effect when a list is played.
            draw: makes the value of such a decision; True if left out.
        """
        return Site(self, who, what, probability, draw)

    def plan_of(self, who: str, what: str) -> dict[int, Value]:
        """The planned choices of a site, by index."""
        return self._planned.get((who, what), {})

    def planned_operations(self) -> list[Choice]:
        """What clients are to do: the operations, in the order of their numbers, and when each client leaves."""
        operations = [
            Choice(who, what, index, value)
            for (who, what), values in self._planned.items()
            if what in (EXECUTE, LEAVE)
            for index, value in values.items()
        ]
        return sorted(operations, key=lambda choice: int(choice.who.rpartition(" ")[2]))

    def take(self, choice: Choice) -> None:
        """Note a choice."""
        self.taken.append(choice)
        if self.told is not None:
            self.told(choice)


class Site:
    """One kind of decision of one actor.

    A decision costs a step of a counter: how far it is to the next one that is not the default is drawn beforehand
    (the gaps between the successes of independent trials have a geometric distribution), or known from the list.
    """

    __slots__ = ("_choices", "_draw", "_log", "_plan", "count", "next", "what", "who")

    def __init__(self, choices: Choices, who: str, what: str, probability: float, draw: Draw | None) -> None:
        self._choices = choices
        self._draw = draw
        self._log = _log_of_failure(probability)
        self._plan: dict[int, Value] = {}
        self.who = who
        self.what = what
        self.count = 0
        self.next = 0
        if choices.chance is None:
            self._follow_plan()
        else:
            self.next = self._gap(choices.chance)

    def decide(self) -> Value | None:
        """Make one decision: None for the default, else its value."""
        self.count += 1
        if self.count != self.next:
            return None
        return self._other()

    def begin(self, who: str) -> None:
        """From now on count the decisions of another actor."""
        self.who = who
        if self._choices.chance is None:
            self.count = 0
            self._follow_plan()
        elif self.next:
            self.next -= self.count
            self.count = 0
        else:
            self.count = 0

    def _other(self) -> Value:
        """A decision that is not the default."""
        choices = self._choices
        if choices.chance is None:
            value = self._plan[self.count]
            self.next = min((index for index in self._plan if index > self.count), default=0)
        else:
            value = True if self._draw is None else self._draw(choices.chance)
            self.next = self.count + self._gap(choices.chance)
        choices.take(Choice(self.who, self.what, self.count, value))
        return value

    def _follow_plan(self) -> None:
        self._plan = self._choices.plan_of(self.who, self.what)
        self.next = min(self._plan, default=0)

    def _gap(self, chance: random.Random) -> int:
        """How many decisions until the next that is not the default; beyond all reach if there is no chance of one."""
        if self._log == 0:
            return 2**62
        return 1 + int(math.log(1.0 - chance.random()) / self._log) if self._log != -math.inf else 1


def _log_of_failure(probability: float) -> float:
    if probability < LEAST_PROBABILITY:
        return 0.0
    return math.log(1.0 - probability) if probability < 1 else -math.inf


def to_text(choices: Iterable[Choice]) -> str:
    """Choices as a text file, a line each."""
    return "".join(f"{choice.line()}\n" for choice in choices)


def from_text(text: str) -> list[Choice]:
    """The choices of a text file; empty lines and those that begin with `#` are left out.

    Raises:
        ValueError: a line is no choice; the message names it.
    """
    choices = []
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip() and not line.startswith("#"):
            try:
                choices.append(Choice.parse(line))
            except (ValueError, RecursionError) as error:
                raise ValueError(f"line {number} is no choice: {line!r:.200}") from error
    return choices
