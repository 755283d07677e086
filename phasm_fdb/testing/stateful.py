"""A Hypothesis stateful machine from a state machine's declared types: its inputs, results and crashes as rules.

    TestWallet = machine_strategy(Wallet).TestCase

Hypothesis then looks for a sequence of steps that breaks an invariant, and shrinks what it finds. There is one
transition at a time here: for races, time-outs and lost results there is `phasm_fdb.simulation`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from phasm_fdb.errors import MachineDefinitionError
from phasm_fdb.guard import Mode
from phasm_fdb.machine import StateMachine
from phasm_fdb.testing.driver import Driver
from phasm_fdb.testing.values import values_of

if TYPE_CHECKING:
    from hypothesis.stateful import RuleBasedStateMachine
    from hypothesis.strategies import SearchStrategy

LONGEST_WAIT_SECONDS = 100_000


def machine_strategy(
    machine: Callable[[], StateMachine],
    *,
    inputs: SearchStrategy[Any] | None = None,
    results: Callable[[Any], SearchStrategy[Any]] | None = None,
    overrides: Mapping[Any, SearchStrategy[Any]] | None = None,
    check: Callable[[Any], object] | None = None,
    guard: Mode = "error",
) -> type[RuleBasedStateMachine]:
    """A `RuleBasedStateMachine` whose rules are what can happen to a machine.

    It applies inputs, repeats them, brings results of pending actions (and brings them again), loses everything in
    memory and restores, and lets time pass. After each step the invariants are checked on the whole state; every
    transition runs twice; what is refused or repeated must change nothing.

    Args:
        machine: the class, or a function that makes one.
        inputs: the payloads; those of the declared `Input` if left out.
        results: gives the results that the outside world may have for an action; all of the declared
            `TrackedResult` if left out.
        overrides: strategies for certain types, wherever they occur in the inputs and results.
        check: called with the state after each step, beside the machine's own invariants; raises or fails an assert.
        guard: what happens when machine code reaches for the clock, chance or the outside world.

    Returns:
        The class; its `TestCase` is what pytest and unittest collect. The settings there have no deadline, and leave
        out Hypothesis' phase "explain", which traces every line and takes many times as long as all others.

    Raises:
        MachineDefinitionError: the machine declares no `Input`.
        ImportError: Hypothesis is not installed.
    """
    from hypothesis import Phase, settings
    from hypothesis import strategies as st
    from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

    declared = machine()
    if inputs is None:
        if declared.Input is None:
            raise MachineDefinitionError(f"{type(declared).__name__} declares no Input, so there is nothing to apply")
        inputs = values_of(declared.Input, overrides)
    if results is None:
        any_result = values_of(declared.TrackedResult, overrides)

        def results(action: Any) -> SearchStrategy[Any]:
            return any_result

    payloads, results_of = inputs, results

    class Driven(RuleBasedStateMachine):
        def __init__(self) -> None:
            super().__init__()
            self.driver = Driver(machine, guard)

        @rule(payload=payloads)
        def apply(self, payload: Any) -> None:
            self.driver.apply(payload)

        @rule(number=st.integers(0, 20))
        def repeat(self, number: int) -> None:
            self.driver.repeat(number)

        @precondition(lambda self: self.driver.pending)
        @rule(number=st.integers(0, 20), data=st.data())
        def complete(self, number: int, data: Any) -> None:
            pending = self.driver.pending
            action = pending[number % len(pending)].action
            self.driver.complete(number, data.draw(results_of(action), label=f"the result of {action!r}"))

        @rule()
        def crash(self) -> None:
            self.driver.crash()

        @rule(seconds=st.integers(1, LONGEST_WAIT_SECONDS))
        def wait(self, seconds: int) -> None:
            self.driver.wait(seconds)

        @invariant()
        def holds(self) -> None:
            self.driver.check()
            if check is not None:
                check(self.driver.layer.view(self.driver.db))

    Driven.__name__ = Driven.__qualname__ = f"{type(declared).__name__}Steps"
    phases = [phase for phase in Phase if phase is not Phase.explain]
    Driven.TestCase.settings = settings(deadline=None, phases=phases)
    Driven.TestCase.__qualname__ = Driven.TestCase.__name__ = f"Test{type(declared).__name__}Steps"
    return Driven
