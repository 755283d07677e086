"""The system under test: a machine as a layer on a memory database, where chance and time come from the seed."""

from __future__ import annotations

import inspect
import random
from typing import Any

from phasm_fdb.actions import Actions
from phasm_fdb.database.url import open
from phasm_fdb.layer import Layer
from phasm_fdb.machine import StateMachine
from phasm_fdb.simulation.clock import VirtualClock
from phasm_fdb.simulation.workload import Workload


class System:
    """A database that stays, and a layer that can be lost in a crash.

    Args:
        workload: says which machine.
        seed: of the run.
    """

    def __init__(self, workload: Workload, seed: int) -> None:
        self._workload = workload
        self._tokens = stream(seed, "tokens")
        self.clock = VirtualClock()
        self.db = open(
            "memory:",
            clock=self.clock.now,
            sleep=self.clock.sleep,
            call_later=self.clock.call_later,
            random=stream(seed, "database").random,
        )
        self.layer = self._new_layer()

    def view(self) -> Any:
        """The machine's state, to be read only."""
        return self.layer.view(self.db)

    def crash(self) -> Actions:
        """Lose everything in memory, start anew, and restore."""
        self.layer = self._new_layer()
        return self.layer.restore(self.db)

    def _new_layer(self) -> Layer:
        machine = make_machine(self._workload)
        return Layer(machine, ("simulated",), checked=True, clock=self.clock.now, token_bytes=self._tokens.randbytes)


def stream(seed: int, purpose: str) -> random.Random:
    """The random numbers of one purpose, which do not depend on how many the others used."""
    return random.Random(f"phasm {seed} {purpose}")


def make_machine(workload: Workload) -> StateMachine:
    """The machine of a workload, whose `machine` is a class, a function, or a method."""
    declared = inspect.getattr_static(workload, "machine", None)
    if declared is None:
        raise TypeError(f"{type(workload).__name__}.machine is not set: it is the machine's class")
    if inspect.isfunction(declared) and not inspect.signature(declared).parameters:
        return declared()  # type: ignore[no-any-return]
    return workload.machine()  # type: ignore[no-any-return]
