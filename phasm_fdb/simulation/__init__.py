"""Deterministic simulation: workers, clients, database and outside world in one thread, all from one seed."""

from phasm_fdb.simulation.run.result import Result, Violation
from phasm_fdb.simulation.run.runner import play, simulate, sweep
from phasm_fdb.simulation.run.saving import replay
from phasm_fdb.simulation.shrinking.shrinker import shrink
from phasm_fdb.simulation.workload import Scenario, Workload

__all__ = ["Result", "Scenario", "Violation", "Workload", "play", "replay", "shrink", "simulate", "sweep"]
