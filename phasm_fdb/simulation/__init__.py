"""Deterministic simulation: workers, clients, database and outside world in one thread, all from one seed."""

from phasm_fdb.simulation.result import Result, Violation
from phasm_fdb.simulation.runner import play, simulate
from phasm_fdb.simulation.saving import replay
from phasm_fdb.simulation.scenario import Scenario
from phasm_fdb.simulation.shrinking import shrink
from phasm_fdb.simulation.sweep import sweep
from phasm_fdb.simulation.workload import Workload

__all__ = ["Result", "Scenario", "Violation", "Workload", "play", "replay", "shrink", "simulate", "sweep"]
