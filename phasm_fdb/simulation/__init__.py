"""Deterministic simulation: a machine, its clients, its outside world and crashes, all decided by one seed."""

from phasm_fdb.simulation.result import Result, Violation
from phasm_fdb.simulation.runner import simulate
from phasm_fdb.simulation.sweep import sweep
from phasm_fdb.simulation.workload import Workload

__all__ = ["Result", "Violation", "Workload", "simulate", "sweep"]
