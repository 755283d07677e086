"""The oracles: what must hold in every run, whatever the machine. All are on by default."""

from phasm_fdb.simulation.oracles.oracle import Oracle
from phasm_fdb.simulation.oracles.panel import Oracles

__all__ = ["Oracle", "Oracles"]
