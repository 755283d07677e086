"""A machine made ready to run: its declared types as codecs, and its functions called the one right way."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

from phasm_fdb.actions import Actions, Later, Tracked, Untracked
from phasm_fdb.codec import Codec
from phasm_fdb.errors import CodecError, InputError, InvariantViolation, MachineDefinitionError, shown
from phasm_fdb.machine import Normal, StateMachine, TrackedActionCompleted
from phasm_fdb.state import Changes, State


class Definition:
    """A checked machine.

    Raises:
        MachineDefinitionError: it is not a StateMachine instance, has no `stf` or State, or declares a type that
            cannot be stored.
    """

    def __init__(self, machine: StateMachine) -> None:
        if isinstance(machine, type) and issubclass(machine, StateMachine):
            raise MachineDefinitionError(f"pass a machine, {machine.__name__}(), and not its class")
        if not isinstance(machine, StateMachine):
            raise MachineDefinitionError(f"{shown(machine)} is not a StateMachine: subclass phasm_fdb.StateMachine")
        cls = type(machine)
        if cls.stf is StateMachine.stf:
            raise MachineDefinitionError(f"{cls.__name__} has no `stf`: a machine is its state transition function")
        state = getattr(cls, "State", None)
        if not (isinstance(state, type) and issubclass(state, State)):
            raise MachineDefinitionError(f"{cls.__name__}.State is {state!r}: set it to the machine's State subclass")
        self.machine = machine
        self.name = cls.name
        self.state_class = state
        self.inputs = self._codec("Input")
        self.tracked = self._codec("TrackedAction")
        self.results = self._codec("TrackedResult")
        self.untracked = self._codec("UntrackedAction")
        self.emits_untracked = machine.UntrackedAction is not StateMachine.UntrackedAction
        self.replies: Codec[Any] = Codec(cls.Reply, f"Reply of {cls.__name__}")
        self.checks_changes = cls.check_changes is not StateMachine.check_changes

    def _codec(self, declared: str) -> Codec[Any]:
        return Codec(getattr(self.machine, declared), f"{declared} of {type(self.machine).__name__}", tagged=True)

    # ------------------------------------------------------------------------------------------- checks

    def check_payload(self, payload: Any) -> None:
        """Raise an InputError unless this is of the declared `Input`."""
        _to_raw(self.inputs, payload)

    def check_result(self, result: Any) -> None:
        """Raise an InputError unless this is of the declared `TrackedResult`."""
        _to_raw(self.results, result)

    def encode_result(self, result: Any) -> Any:
        """A result as it is stored; raises an InputError unless it is of the declared `TrackedResult`."""
        return _to_raw(self.results, result)

    def encode_action(self, action: Tracked[Any] | Untracked[Any] | Later[Any]) -> Any:
        """What this holds, as it is stored; raises an InputError unless it is of the declared type."""
        if isinstance(action, Tracked):
            return _to_raw(self.tracked, action.action)
        if isinstance(action, Later):
            return _to_raw(self.inputs, action.payload)
        return _to_raw(self.untracked, action.action)

    # -------------------------------------------------------------------------------------------- calls

    def stf(self, state: State, input: Normal[Any] | TrackedActionCompleted[Any], actions: Actions) -> Any:
        """Run one transition on a state, whether `stf` is a plain function or a coroutine function.

        What a machine changes of its input is gone afterwards: the next attempt, and the caller, have it as it was.
        """
        return _finish(self.machine.stf(state, self._its_own(input), actions))

    def _its_own(self, input: Normal[Any] | TrackedActionCompleted[Any]) -> Normal[Any] | TrackedActionCompleted[Any]:
        """The input as it comes back from the inbox or the journal: so every attempt and replay has the same."""
        if isinstance(input, Normal):
            payload = self.inputs.as_read(input.payload)
            return input if payload is input.payload else replace(input, payload=payload)
        result = self.results.as_read(input.result)
        return input if result is input.result else replace(input, result=result)

    def restore(self, state: State, actions: Actions) -> None:
        """Run the machine's `restore`."""
        _finish(self.machine.restore(state, actions))

    def migrate(self, state: State, from_version: int) -> bool:
        """Run one batch of the machine's `migrate`; whether more is left."""
        return bool(_finish(self.machine.migrate(state, from_version)))

    def check_invariants(self, state: State) -> None:
        """Run the machine's `check_invariants`; whatever way it complains becomes an InvariantViolation."""
        _judge(lambda: self.machine.check_invariants(state))

    def check_changes(self, state: State, changes: Changes, input: object) -> None:
        """Run the machine's incremental check after a transition; a violation names the input and the changes."""
        _judge(lambda: self.machine.check_changes(state, changes), input, changes)


def _to_raw(codec: Codec[Any], value: Any) -> Any:
    if codec.type is None:
        raise InputError(f"{codec.where} is not declared, and got {shown(value)}")
    try:
        return codec.to_raw(value)
    except CodecError as error:
        raise InputError(str(error)) from None


def _finish(outcome: Any) -> Any:
    """The result of a plain function, or of a coroutine that awaits nothing but the database."""
    return _drive(outcome) if inspect.iscoroutine(outcome) else outcome


def _drive(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run a machine's coroutine to its end.

    The state waits for the database inside its methods, however the caller waits, so the coroutine itself never
    has to be suspended; if it awaits something else, that is outside data.
    """
    try:
        awaited = coroutine.send(None)
    except StopIteration as finished:
        return finished.value
    coroutine.close()
    raise MachineDefinitionError(
        f"a machine awaited {shown(awaited)}: it may await its own coroutines; everything else comes in by an input, "
        "and goes out as an action (PHASM's invariants 6 and 10)"
    )


def _judge(check: Callable[[], Any], input: object = None, changes: object = None) -> None:
    try:
        complaint = _finish(check())
    except InvariantViolation as violation:
        violation.input = violation.input if violation.input is not None else input
        violation.changes = violation.changes if violation.changes is not None else changes
        raise
    except AssertionError as error:
        raise InvariantViolation(str(error) or "an assertion failed", input=input, changes=changes) from error
    if complaint:
        raise InvariantViolation(str(complaint), input=input, changes=changes)
