"""Shrinking: a failing run becomes a short program that fails in the same way.

A run is a list of choices, and every one of them can be left out, since what is missing falls back to the dull default
(see `phasm_fdb.simulation.choices`). So shrinking is delta debugging on that list (Zeller and Hildebrandt, IEEE TSE
28(2), 2002): leave out large parts first, then smaller ones, and keep what fails still. What is left is made plainer:
fewer processes, one client, no time between the inputs, round numbers.

A race in the middle of a long run does not survive that its surroundings are left out, since a worker's faults are
counted by what it has done before. So first it is tried whether any short run of the same kind fails in the same way,
which costs little: most bugs need a few inputs only, and a thousand are needed to come across them by chance.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from phasm_fdb.simulation.choices import EXECUTE, Choice
from phasm_fdb.simulation.faults import KINDS, MOST_OFTEN
from phasm_fdb.simulation.run.result import Result, Violation
from phasm_fdb.simulation.run.runner import Made, play, simulate_with
from phasm_fdb.simulation.settings import APPLY, Settings, stream

DEFAULT_RUNS = 3000
DEFAULT_SECONDS = 120.0

#: How many operations short runs have, and how many of them are tried.
SHORT_RUNS = ((3, 120), (6, 120), (12, 120), (25, 120), (50, 120), (100, 20))
#: All together they have at most so many times the operations of the run that failed: what failed soon is reduced soon.
MOST_OPERATIONS = 40
#: In short runs the faults happen so many times as often, since they have fewer occasions; and in some of them there is
#: so many times as much time between the inputs, so that leases expire and timers fall due meanwhile.
MORE_OFTEN_AND_SLOWER = ((1.0, 1.0), (5.0, 1.0), (20.0, 1.0), (5.0, 100.0), (20.0, 30.0))
#: In every other one there are only so many kinds of faults, each up to so many times as often as by default, and
#: delays are so many times as long: a race that takes two of them should not have to wait until both come together.
MOST_KINDS = 4
MORE_OFTEN = 20.0
SLOWNESS = (1.0, 30.0, 1000.0)
#: The mean time between two inputs is one of these then: none, or enough for leases to expire and timers to fall due.
GAPS_SECONDS = (0.1, 1.0, 10.0)
#: Of so few choices, pairs are left out, and inputs with the faults behind them moved up by less than so much.
FEW = 30
FARTHEST_SHIFT = 6

#: A program of so few choices is short enough. Of a longer one so many shorter runs are tried.
SMALL = 5
SHORTER_RUNS = 300
#: After so many of them that fail, and have not become shorter than what there was, no more are tried.
PATIENCE = 2
#: The seeds of shorter runs are other ones than those of the short runs before.
OTHER_SEEDS = 1_000_000
#: The share of the time that is spent on short runs.
SHARE_OF_SHORT_RUNS = 0.5

#: Seconds and counts that are tried in place of what chance drew, the plainest first.
PLAIN_NUMBERS = (1, 2, 10, 30)


@dataclass(frozen=True, slots=True)
class Shrunk:
    """What is left of a failing run.

    Attributes:
        result: of playing it; its `settings` and `choices` are the program.
        runs: how many runs that took.
        reproduced: whether playing the whole list failed as the run from the seed did. If not, the run depends on more
            than its choices, and `result` is that of the seed, unshrunk.
    """

    result: Result
    runs: int
    reproduced: bool = True

    @property
    def violation(self) -> Violation:
        """How it fails."""
        return self.result.violations[0]


def shrink(
    workload: Made,
    failing: Result,
    *,
    runs: int = DEFAULT_RUNS,
    seconds: float = DEFAULT_SECONDS,
    progress: Callable[[Result], None] = lambda result: None,
    clock: Callable[[], float] = time.monotonic,
) -> Shrunk:
    """Reduce a failing run to a program of few choices.

    Args:
        workload: of the run, as for `simulate`.
        failing: its result, of one seed and with a violation.
        runs, seconds: stop after so many runs, or so much real time; what was reached by then is the result.
        progress: told of each shorter program that was found.
        clock: real time in seconds.
    """
    return _Shrinker(workload, failing, runs, clock() + seconds, progress, clock).shrunk()


def way_of(message: str) -> str:
    """In which way a run fails: its message up to the first colon, without numbers and quoted values.

    Those differ between a long run and its short form. By convention a message begins with the name of the invariant
    and a colon; an exception begins with its class.
    """
    name, _, _ = message.partition(": ")
    return re.sub(r"'[^']*'|\"[^\"]*\"|\d+", "#", name)


class _Shrinker:
    """The search for a shorter program.

    Attributes:
        best: the shortest one that fails.
    """

    def __init__(
        self,
        workload: Made,
        failing: Result,
        runs: int,
        end: float,
        progress: Callable[[Result], None],
        clock: Callable[[], float],
    ) -> None:
        self._workload = workload
        self._way = way_of(failing.violations[0].invariant)
        self._runs_left = runs
        self._runs = runs
        self._end = end
        self._progress = progress
        self._clock = clock
        self._failed: set[object] = set()
        self.best = failing
        self._kinds = sorted(self._settings.faults)

    def shrunk(self) -> Shrunk:
        """Search until nothing helps any more, or the time is up."""
        self._find_short_run()
        if not self._try(self._settings, self.best.choices):
            return Shrunk(self.best, self._runs - self._runs_left, reproduced=False)
        self._reduce()
        self._find_shorter_runs()
        return Shrunk(self.best, self._runs - self._runs_left)

    def _reduce(self) -> None:
        """Leave out and simplify until nothing helps any more."""
        before = -1
        while before != self._size and not self._is_over:
            before = self._size
            self._simplify_all()
            self._leave_out_kinds()
            self._leave_out(lambda choice: choice.is_input)
            self._leave_out(lambda choice: not choice.is_input)
            self._simplify()
            if self._size <= FEW:
                self._leave_out_pairs()
                self._leave_out_and_shift()

    @property
    def _settings(self) -> Settings:
        assert self.best.settings is not None, "a result of one run has its settings"
        return self.best.settings

    @property
    def _size(self) -> int:
        return len(self.best.choices)

    @property
    def _is_over(self) -> bool:
        return self._runs_left <= 0 or self._clock() >= self._end

    def _try(self, settings: Settings, choices: Sequence[Choice]) -> bool:
        """Play a program; if it fails in the same way, it is the best one from now on."""
        asked = (repr(settings), tuple(choice.line() for choice in choices))
        if asked in self._failed or self._is_over:
            return False
        if self._is_as_wanted(play(self._workload, settings, choices)):
            return True
        self._failed.add(asked)
        return False

    def _is_as_wanted(self, result: Result) -> bool:
        """Whether a run has failed in the same way; it is the best one then."""
        self._runs_left -= 1
        if result.held or way_of(result.violations[0].invariant) != self._way:
            return False
        self.best = result  # with the choices that were really made, which may be fewer than were planned
        self._progress(result)
        return True

    # --------------------------------------------------------------------------------------- short runs

    def _find_short_run(self) -> None:
        """Take the shortest run that fails in the same way, of a few of each length."""
        until = self._clock() + (self._end - self._clock()) * SHARE_OF_SHORT_RUNS
        operations = MOST_OPERATIONS * self.best.operations
        for ops, tries in SHORT_RUNS:
            if sum(choice.is_input for choice in self.best.choices) <= ops:
                return
            for number in range(tries):
                operations -= ops
                if operations < 0 or self._clock() >= until or self._is_over:
                    return
                if self._simulate(self._short(ops, number)):
                    return

    def _short(self, ops: int, number: int) -> Settings:
        settings = replace(self._settings, ops=ops, seed=self._settings.seed + number)
        if number % 2:
            return _with_few_kinds(settings, sorted(settings.faults))
        factor, slower = MORE_OFTEN_AND_SLOWER[number // 2 % len(MORE_OFTEN_AND_SLOWER)]
        return replace(
            settings,
            gap_seconds=min(settings.gap_seconds * slower, GAPS_SECONDS[-1]),
            faults={kind: min(MOST_OFTEN, often * factor) for kind, often in settings.faults.items()},
        )

    def _find_shorter_runs(self) -> None:
        """Look for runs with fewer inputs that fail in the same way under a few kinds of faults.

        These are in turn of the kinds that are left, and of all that there were: another few may lead further.
        """
        in_vain = 0
        for number in range(SHORTER_RUNS):
            smallest = self.best
            if self._size <= SMALL or self._is_over or in_vain == PATIENCE:
                break
            if self._simulate(self._shorter(number)):
                self._reduce()
                if self._size >= len(smallest.choices):
                    self.best = smallest
                    in_vain += 1

    def _shorter(self, number: int) -> Settings:
        settings = self._settings
        inputs = sum(choice.is_input for choice in self.best.choices)
        left = sorted(KINDS.keys() & {choice.what for choice in self.best.choices})
        kinds = left if number % 2 else self._kinds
        shorter = replace(settings, ops=1 + number % max(1, inputs - 1), seed=settings.seed + OTHER_SEEDS + number)
        return _with_few_kinds(shorter, kinds)

    def _simulate(self, settings: Settings) -> bool:
        """Make a run by chance; whether it fails in the same way."""
        return self._is_as_wanted(simulate_with(self._workload, settings))

    # -------------------------------------------------------------------------------------- leaving out

    def _leave_out_kinds(self) -> None:
        """Leave out all faults of a kind together."""
        for what in sorted({choice.what for choice in self.best.choices if not choice.is_input}):
            rest = [choice for choice in self.best.choices if choice.what != what]
            if len(rest) < self._size:
                self._try(self._settings, rest)

    def _leave_out(self, concerns: Callable[[Choice], bool]) -> None:
        """Leave out parts of those choices: halves, quarters, and so on, down to single ones."""
        size = max(1, sum(map(concerns, self.best.choices)) // 2)
        while not self._is_over:
            helped = self._leave_out_parts(concerns, size)
            if size == 1 and not helped:
                return
            size = max(1, size // 2) if not helped else min(size, max(1, sum(map(concerns, self.best.choices)) // 2))

    def _leave_out_parts(self, concerns: Callable[[Choice], bool], size: int) -> bool:
        """Leave out each part of so many choices, from the end; whether any could be."""
        helped = False
        end = sum(map(concerns, self.best.choices))
        while end > 0 and not self._is_over:
            numbers = [number for number, choice in enumerate(self.best.choices) if concerns(choice)]
            end = min(end, len(numbers))
            part = set(numbers[max(0, end - size) : end])
            helped = (bool(part) and self._try(self._settings, _without(self.best.choices, part))) or helped
            end -= size
        return helped

    def _leave_out_pairs(self) -> None:
        """Leave out two choices that make up for each other, such as two pauses."""
        first = 0
        while first < self._size and not self._is_over:
            pairs = range(first + 1, self._size)
            if not any(self._try(self._settings, _without(self.best.choices, {first, other})) for other in pairs):
                first += 1

    def _leave_out_and_shift(self) -> None:
        """Leave out an input, and let the faults that are counted by what workers do come that much earlier."""
        number = 0
        while number < self._size and not self._is_over:
            rest = _without(self.best.choices, {number})
            is_input = self.best.choices[number].is_input
            if not (is_input and any(self._try(self._settings, _shifted(rest, by)) for by in range(1, FARTHEST_SHIFT))):
                number += 1

    # --------------------------------------------------------------------------------------- simplifying

    def _simplify(self) -> None:
        self._simplify_all()
        self._simplify_one_by_one()

    def _simplify_all(self) -> None:
        """Everything at once: that takes few runs, and makes those that follow shorter."""
        for settings in self._plainer_settings():
            self._try(settings, self.best.choices)
        for simplify in (_by_one_client, _applied, _at_once):
            changed = [simplify(number, choice) for number, choice in enumerate(self.best.choices)]
            if changed != list(self.best.choices):
                self._try(self._settings, changed)

    def _plainer_settings(self) -> Iterator[Settings]:
        """One thing less at a time."""
        if self._settings.lanes > 1:
            yield replace(self._settings, lanes=1)
        for workers in range(1, self._settings.workers):
            yield replace(self._settings, workers=workers)
        clients = max((int(one.value["client"]) for one in self.best.choices if one.is_input), default=1)
        if clients < self._settings.clients:
            yield replace(self._settings, clients=clients)
        inputs = max(1, sum(choice.is_input for choice in self.best.choices))
        if inputs < self._settings.ops:
            yield replace(self._settings, ops=inputs)
        if self._settings.faults:
            yield replace(self._settings, faults={})  # their probabilities, which nobody asks for any more

    def _simplify_one_by_one(self) -> None:
        for number in range(self._size):
            for plainer in _plainer(number, self.best.choices[number]) if number < self._size else ():
                changed = list(self.best.choices)
                changed[number] = plainer
                if self._try(self._settings, changed):
                    break


def _with_few_kinds(settings: Settings, kinds: Sequence[str]) -> Settings:
    """Some of the kinds of faults, and delays and gaps, as the settings' seed draws them."""
    chance = stream(settings.seed, "short run")
    some = chance.sample(kinds, min(len(kinds), chance.randint(1, MOST_KINDS)))
    return replace(
        settings,
        gap_seconds=chance.choice(GAPS_SECONDS),
        faults={kind: min(MOST_OFTEN, KINDS[kind].often * MORE_OFTEN ** chance.random()) for kind in some},
        slowness=chance.choice(SLOWNESS),
    )


def _plainer(number: int, choice: Choice) -> Iterator[Choice]:
    """What a choice could be instead, the plainest first."""
    if choice.is_input:
        for simplify in (_applied, _at_once, _by_one_client):
            plainer = simplify(number, choice)
            if plainer != choice:
                yield plainer
        return
    for index in sorted({1, choice.index // 2, choice.index - 1}):
        if 0 < index < choice.index:
            yield replace(choice, index=index)
    if isinstance(choice.value, int | float) and not isinstance(choice.value, bool):
        for plain in PLAIN_NUMBERS:
            if choice.value == plain:
                return
            yield replace(choice, value=plain)


def _without(choices: Sequence[Choice], numbers: set[int]) -> list[Choice]:
    return [choice for number, choice in enumerate(choices) if number not in numbers]


def _shifted(choices: Sequence[Choice], by: int) -> list[Choice]:
    return [one if one.is_input or one.index <= by else replace(one, index=one.index - by) for one in choices]


def _with(choice: Choice, **values: Any) -> Choice:
    return replace(choice, value={**choice.value, **values}) if choice.what == EXECUTE else choice


def _by_one_client(number: int, choice: Choice) -> Choice:
    return _with(choice, client=1)


def _applied(number: int, choice: Choice) -> Choice:
    return _with(choice, mode=APPLY)


def _at_once(number: int, choice: Choice) -> Choice:
    return _with(choice, at=float(number) / 1000)
