"""A machine whose functions run under the guard."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from phasm_fdb.actions import Actions
from phasm_fdb.definition import Definition
from phasm_fdb.guard.closing import close_doors, close_imported
from phasm_fdb.guard.mode import Mode, Watch, mode_or_default, watched
from phasm_fdb.machine import Normal, StateMachine, TrackedActionCompleted
from phasm_fdb.state import Changes, State

T = TypeVar("T")


def define(machine: StateMachine, mode: Mode | None) -> Definition:
    """The machine made ready to run, under the guard unless that is off; None is the process's default.

    Raises:
        MachineDefinitionError: the machine is not well formed, or there is no such mode.
    """
    mode = mode_or_default(mode)
    return Definition(machine) if mode == "off" else GuardedDefinition(machine, mode)


class GuardedDefinition(Definition):
    """A checked machine that may not leave its state and its input.

    It is a class of its own so that a machine without the guard does not even ask whether it is on.
    """

    def __init__(self, machine: StateMachine, mode: Mode) -> None:
        super().__init__(machine)
        name = type(machine).__name__
        self._stf = Watch(mode, f"{name}.stf")
        self._restore = Watch(mode, f"{name}.restore")
        self._migrate = Watch(mode, f"{name}.migrate")
        self._check = Watch(mode, f"{name}.check_invariants")
        self._check_changes = Watch(mode, f"{name}.check_changes")
        close_doors()
        close_imported(type(machine).__module__)

    def stf(self, state: State, input: Normal[Any] | TrackedActionCompleted[Any], actions: Actions) -> Any:
        return _under(self._stf, super().stf, state, input, actions)

    def restore(self, state: State, actions: Actions) -> None:
        _under(self._restore, super().restore, state, actions)

    def migrate(self, state: State, from_version: int) -> bool:
        return _under(self._migrate, super().migrate, state, from_version)

    def check_invariants(self, state: State) -> None:
        _under(self._check, super().check_invariants, state)

    def check_changes(self, state: State, changes: Changes, input: object) -> None:
        _under(self._check_changes, super().check_changes, state, changes, input)


def _under(watch: Watch, function: Callable[..., T], *args: Any) -> T:
    token = watched.set(watch)
    try:
        return function(*args)
    finally:
        watched.reset(token)
