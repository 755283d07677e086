"""One run of a seed: what it finds, what it counts, and that it is the same every time."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

import pytest

from layers.coffee_shop.workload import CoffeeShopWorkload
from layers.counter.workload import CounterWorkload
from layers.dentist_booking.workload import BookingWorkload
from phasm_fdb import Actions, Map, Normal, State, StateMachine, Tracked, TrackedActionCompleted
from phasm_fdb.embedded.memory_store import MemoryStore
from phasm_fdb.errors import ReplayError
from phasm_fdb.simulation import Result, Violation, Workload, play, simulate, sweep
from phasm_fdb.simulation.oracles.serial import Journaled
from phasm_fdb.simulation.world.commit import Commit, StfRun
from phasm_fdb.simulation.world.inspector import Inspector
from tests.simulation import machines


@dataclass(frozen=True)
class Job:
    name: str


class JobsState(State):
    done = Map(str, int)


class Jobs(StateMachine):
    """Ids are versionstamps, actions of one name are done in order, and each twice, the second time later."""

    State = JobsState
    Input = Job
    TrackedAction = Job
    TrackedResult = int

    def __init__(self, step: int = 1) -> None:
        self.step = step

    def stf(self, state: JobsState, input: Any, actions: Actions) -> None:
        match input:
            case Normal(job):
                actions.add(Tracked(actions.new_id(), job, ordering_key=job.name))
                actions.add(Tracked(actions.new_id(), job, ordering_key=job.name, after=60))
            case TrackedActionCompleted(_, number):
                name = "ab"[number % 2]
                assert state.done.get(name, -self.step) < number, "in order"
                state.done[name] = number


class JobsWorkload(Workload):
    """Its outside world numbers the calls."""

    machine = Jobs
    completions = 0.6

    def setup(self, rng: random.Random) -> list[Job]:
        self.calls = {"a": 0, "b": 1}
        return []

    def next_input(self, rng: random.Random, view: JobsState) -> Job:
        return Job(rng.choice("ab"))

    def perform(self, rng: random.Random, action: Job) -> int:
        self.calls[action.name] += 2
        return self.calls[action.name]


def the_violation(result: Result) -> Violation:
    [violation] = result.violations
    return violation


# ----------------------------------------------------------------------------------------- what holds


@pytest.mark.parametrize("workload", [BookingWorkload, CoffeeShopWorkload, CounterWorkload, machines.ShopWorkload])
def test_the_right_machines_hold(workload: type[Workload]) -> None:
    result = sweep(workload, seed=100, seeds=3, ops=400)
    assert result.violations == ()
    assert (result.seeds, result.operations) == (3, 1200)
    assert result.crashes > 0


def test_the_dentists_mix_is_phasms() -> None:
    result = sweep(BookingWorkload, seeds=4, ops=500)
    counts = result.counts
    assert result.violations == ()
    certain = counts["input RequestSlot"] + counts["rejected SlotNotAvailable"]
    any_slot = counts["input RequestAuto"] + counts["rejected NoSlotFound"]
    assert certain / (certain + any_slot) == pytest.approx(35 / 60, abs=0.04)
    completed = 1 - (certain + any_slot) / result.operations
    assert 0.2 < completed < 0.42
    holds = counts["result Authorized"] + counts["result Declined"]
    assert counts["result Authorized"] / holds == pytest.approx(0.85, abs=0.05)
    assert counts["result Released"] > 0 and counts["action CheckStatus"] > 0


def test_counts_agree_with_each_other() -> None:
    result = sweep(machines.ShopWorkload, seed=3, seeds=20, ops=100, faults="heavy")
    counts = result.counts
    assert result.violations == ()
    assert result.transitions == counts["transitions"] == counts["input Buy"] + counts["completed"]
    assert counts["input Buy"] == counts["action Ship"] == counts["completed"] == counts["result Shipped"]
    assert counts["applied"] == counts["input Buy"]
    assert result.rejections == counts["rejected SoldOut"] > 0
    assert result.crashes == counts["crash"] > 0
    assert counts["repeated"] > 0 and counts["failed call"] > 0 and counts["lost result"] == counts["fault result lost"]


# ------------------------------------------------------------------------------------- what is violated


def test_a_broken_invariant_is_found_at_its_step_with_its_input() -> None:
    violation = the_violation(simulate(machines.OversellsWorkload, seed=1, ops=500))
    assert violation.invariant.startswith("stock not negative: it is -")
    assert violation.input in {f"Buy(amount={amount})" for amount in (1, 2, 3)}
    assert 30 < violation.step < 300
    assert "check_invariants" in violation.traceback


def test_what_the_incremental_check_misses_the_full_one_finds() -> None:
    at_once = the_violation(simulate(machines.OversellsWorkload, seed=1, ops=500))
    later = the_violation(simulate(machines.CarelessWorkload, seed=1, ops=500))
    assert later.invariant.startswith("stock not negative")
    assert at_once.step < later.step <= at_once.step + 100


def test_an_exception_in_the_machine_is_a_violation() -> None:
    violation = the_violation(simulate(machines.BreaksWorkload, ops=100))
    assert violation.invariant == "ZeroDivisionError: a bug"
    assert "Ship" in str(violation.input)


def test_an_undeclared_input_is_a_violation() -> None:
    assert "'Buy' is not" in the_violation(simulate(machines.UndeclaredWorkload, ops=100)).invariant


@pytest.mark.parametrize("workload", [machines.NeverRestsWorkload, machines.CarrierIsDownWorkload])
def test_what_never_comes_to_rest_is_a_violation(workload: type[Workload]) -> None:
    violation = the_violation(simulate(workload, ops=50))
    assert violation.invariant.startswith("at rest: ")
    assert "Ship(order=" in violation.invariant
    assert violation.step == 51


def test_the_check_at_rest_is_asked() -> None:
    violation = the_violation(simulate(machines.ForgetfulWorkload, ops=50))
    assert violation.invariant.startswith("everything shipped: ")


def test_a_workload_that_does_nothing_is_noticed() -> None:
    assert sweep(machines.IdleWorkload, ops=100).held
    [violation] = sweep(machines.IdleWorkload, seed=5, seeds=2, ops=500).violations
    assert violation.invariant == "sometimes sold out: held at the end of none of 2 runs"
    assert sweep(machines.ShopWorkload, seeds=2, ops=500).held


def test_a_journal_that_is_empty_is_missed_where_something_was_decided() -> None:
    store = MemoryStore(lambda: 0.0)
    inspector = Inspector(machines.ShopWorkload(), store)
    without_journal = inspector.layer
    without_journal.apply(inspector.database(), machines.Buy(1))
    oracle = Journaled(inspector)
    oracle.at_rest()
    now = inspector.snapshot()
    run = StfRun(Normal(machines.Buy(1)))
    oracle.committed(Commit(1, "client 1", bytes(10), [run], before=now, after=now, rows={}, cleared=[]))
    with pytest.raises(ReplayError, match="the journal is empty"):
        oracle.at_rest()


# ------------------------------------------------------------------------------------ what a seed decides


@pytest.mark.parametrize("workload", [BookingWorkload, machines.OversellsWorkload, JobsWorkload])
@pytest.mark.parametrize("seed", range(40, 45))
def test_the_choices_of_a_run_played_are_the_same_run(workload: type[Workload], seed: int) -> None:
    first = simulate(workload, seed=seed, ops=150, faults="heavy")
    assert first.settings is not None
    again = play(workload, first.settings, first.choices)
    assert again.choices == first.choices
    assert again == first


@pytest.mark.parametrize("workload", [BookingWorkload, machines.OversellsWorkload])
def test_a_seed_decides_everything(workload: type[Workload]) -> None:
    first, again, other = (simulate(workload, seed=seed, ops=300) for seed in (7, 7, 8))
    assert first == again
    assert first.digest != other.digest


def test_an_object_is_copied_for_each_run() -> None:
    workload = BookingWorkload()
    assert simulate(workload, ops=100) == simulate(workload, ops=100) == simulate(BookingWorkload, ops=100)
    assert not hasattr(workload, "requests")


def test_ids_from_versionstamps_and_timers_are_the_same_every_time() -> None:
    first, again = (simulate(JobsWorkload, seed=2, ops=400) for _ in range(2))
    assert first.held
    assert first == again
    assert first.counts["action Job"] == 2 * first.counts["input Job"] == first.counts["completed"]


@pytest.mark.parametrize("machine", [Jobs, lambda: Jobs(step=1), staticmethod(lambda: Jobs(1)), lambda self: Jobs(1)])
def test_a_machine_is_a_class_a_function_or_a_method(machine: Any) -> None:
    workload = type("Made", (JobsWorkload,), {"machine": machine})
    assert simulate(workload, ops=20).held


def test_without_faults_there_are_none() -> None:
    result = simulate(machines.ShopWorkload, ops=200, faults="none")
    assert result.crashes == 0
    assert not [name for name in result.counts if name.startswith("fault ")]
    assert "repeated" not in result.counts and "lost result" not in result.counts


def test_a_sweep_ends_when_its_time_is_over() -> None:
    times = iter(range(100))
    result = sweep(CounterWorkload, seconds=3, ops=10, clock=lambda: next(times))
    assert result.seeds == 3
    assert sweep(CounterWorkload, seeds=2, seconds=1e9, ops=10).seeds == 2


def test_a_sweep_of_one_has_the_digest_of_its_run() -> None:
    assert sweep(CounterWorkload, seed=4, ops=10).digest == simulate(CounterWorkload, seed=4, ops=10).digest
    assert sweep(CounterWorkload, seed=4, seeds=2, ops=10).digest != simulate(CounterWorkload, seed=4, ops=10).digest
