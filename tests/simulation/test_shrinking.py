"""Shrinking: a failing run becomes a short program that fails in the same way."""

from __future__ import annotations

import itertools
import random
from dataclasses import replace
from typing import Any

import pytest

from phasm_fdb.simulation import Result, play, shrink, simulate
from phasm_fdb.simulation.choices import LEAVE
from phasm_fdb.simulation.faults import LONGEST_DELAY_SECONDS
from phasm_fdb.simulation.run.runner import simulate_with
from phasm_fdb.simulation.settings import Settings
from phasm_fdb.simulation.shrinking.shrinker import Shrunk, _Shrinker, way_of
from tests.simulation import machines
from tests.simulation.planting import plant, timeless
from tests.simulation.theatre import TheatreState, TheatreWorkload


def failing(workload: Any, seeds: int = 30, ops: int = 300, **options: Any) -> Result:
    """The first run that fails."""
    runs = (simulate(workload, seed=seed, ops=ops, **options) for seed in range(seeds))
    return next(run for run in runs if not run.held)


@pytest.mark.parametrize(
    ("message", "way"),
    [
        ("one guest a seat: booking 13 has seat 5", "one guest a seat"),
        ("KeyError: 'ann'", "KeyError"),
        ("everybody is reminded", "everybody is reminded"),
        ("5 of 'ann' and \"bob\" are lost", "# of # and # are lost"),
    ],
)
def test_the_way_of_failing_is_the_name_of_the_invariant(message: str, way: str) -> None:
    assert way_of(message) == way


@pytest.fixture(scope="module")
def releases_twice() -> tuple[Any, Result, Shrunk]:
    """A planted bug's workload, a run of it that fails, and what that is shrunk to."""
    workload = plant("releases_twice").workload
    run = failing(workload)
    return workload, run, shrink(workload, run, clock=timeless)


def test_a_run_is_shrunk_to_what_matters(releases_twice: tuple[Any, Result, Shrunk]) -> None:
    _, run, shrunk = releases_twice
    assert len(run.choices) > 100
    assert len(shrunk.result.choices) <= 4
    assert all(choice.is_input for choice in shrunk.result.choices), "no fault is needed for it"
    assert way_of(shrunk.violation.invariant) == way_of(run.violations[0].invariant)


def test_what_is_left_fails_again_each_time(releases_twice: tuple[Any, Result, Shrunk]) -> None:
    workload, _, shrunk = releases_twice
    assert shrunk.result.settings is not None
    again = play(workload, shrunk.result.settings, shrunk.result.choices)
    assert (again.digest, again.violations) == (shrunk.result.digest, shrunk.result.violations)


def test_nothing_more_can_be_left_out(releases_twice: tuple[Any, Result, Shrunk]) -> None:
    workload, _, shrunk = releases_twice
    assert shrunk.result.settings is not None
    for left_out in shrunk.result.choices:
        rest = [choice for choice in shrunk.result.choices if choice != left_out]
        less = play(workload, shrunk.result.settings, rest)
        assert less.held or way_of(less.violations[0].invariant) != way_of(shrunk.violation.invariant)


class ChargesEachCall(TheatreWorkload):
    """Its bank charges for each call, so a fault is part of what shows it."""

    def perform(self, rng: random.Random, action: Any, attempt: Any) -> Any:
        result = super().perform(rng, action, attempt)
        self.calls = getattr(self, "calls", 0) + 1
        return result

    def check(self, view: TheatreState) -> None:
        answers = list(self.bank.done.values())
        assert self.calls <= len(answers), f"called once: {self.calls} calls had {len(answers)} effects"


def test_a_fault_that_matters_stays() -> None:
    run = failing(ChargesEachCall, faults={"call repeated": 0.1, "read slow": 0.1})
    shrunk = shrink(ChargesEachCall, run, clock=timeless)
    kinds = [choice.what for choice in shrunk.result.choices if not choice.is_input]
    assert kinds == ["call repeated"]


def test_the_number_of_runs_is_bounded() -> None:
    run = failing(machines.OversellsWorkload)
    shrunk = shrink(machines.OversellsWorkload, run, runs=10, clock=timeless)
    assert shrunk.runs <= 10
    assert not shrunk.result.held


def test_the_time_is_bounded() -> None:
    run = failing(machines.OversellsWorkload)
    seconds = itertools.count()
    shrunk = shrink(machines.OversellsWorkload, run, seconds=8, clock=lambda: next(seconds))
    assert shrunk.runs < 8
    assert not shrunk.result.held


def test_each_shorter_program_is_told() -> None:
    told: list[Result] = []
    run = failing(machines.BreaksWorkload)
    shrunk = shrink(machines.BreaksWorkload, run, progress=told.append, clock=timeless)
    assert told[-1] == shrunk.result
    assert not any(one.held for one in told)


class Moody(machines.ShopWorkload):
    """Fails in its first run, and never again."""

    runs = 0

    def check(self, view: Any) -> None:
        type(self).runs += 1
        assert self.runs > 1, "moody: not today"


def test_a_run_that_does_not_fail_again_is_given_back_as_it_is() -> None:
    Moody.runs = 0
    run = simulate(Moody, ops=20)
    shrunk = shrink(Moody, run, runs=50, clock=timeless)
    assert not shrunk.reproduced
    assert shrunk.result is run


def test_a_run_that_ends_while_clients_wait_is_played_as_it_was() -> None:
    """In a random order of everything that is ready, a task that ends instead of waiting changes all that follows."""
    bug = plant("counter_by_snapshot")
    faults = {"commit slow": 0.07, "request repeated": 0.15, "schedule": 0.5}
    for seed in range(40):
        settings = Settings(seed, ops=12, workers=1, clients=8, lanes=1, faults=faults, slowness=30.0)
        with bug.planted():
            run = simulate_with(bug.workload, settings)
            again = play(bug.workload, settings, run.choices)
        assert (again.digest, again.choices) == (run.digest, run.choices)


def test_a_client_that_waited_to_the_end_is_no_kind_of_fault() -> None:
    """A program may have to keep it, for the order of the others; but runs by chance are not made with it."""
    settings = Settings(0, ops=8, clients=8, faults={"schedule": 0.5, "call repeated": 0.5})
    runs = (simulate_with(ChargesEachCall, replace(settings, seed=seed)) for seed in range(40))
    waiting = next(run for run in runs if not run.held and any(choice.what == LEAVE for choice in run.choices))
    shrinker = _Shrinker(ChargesEachCall, waiting, 100, 1.0, lambda result: None, timeless)
    for number in range(20):
        assert shrinker._shorter(number).faults.keys() <= {"schedule", "call repeated"}


def test_delays_are_as_many_times_as_long_as_the_settings_say() -> None:
    """A slow run's outside calls take longer, and none longer than the longest delay."""

    def delays(slowness: float) -> list[float]:
        settings = Settings(3, ops=30, faults={"call slow": 0.5}, slowness=slowness)
        choices = simulate_with(TheatreWorkload, settings).choices
        return sorted(choice.value for choice in choices if choice.what == "call slow")

    assert delays(1.0)[len(delays(1.0)) // 2] < 0.1
    assert delays(1000.0)[0] >= 1.0
    assert delays(1000.0)[-1] <= LONGEST_DELAY_SECONDS
