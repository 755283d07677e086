"""A number that can be incremented until 64 bits are full."""

from __future__ import annotations

from dataclasses import dataclass

from phasm_fdb import (
    Actions,
    Changes,
    InvariantViolation,
    Normal,
    State,
    StateMachine,
    TrackedActionCompleted,
    TransitionError,
    Untracked,
    Value,
)

MAXIMUM = 2**64 - 1


@dataclass(frozen=True)
class Increment:
    """Input: add 1."""


@dataclass(frozen=True)
class Incremented:
    """Untracked: the number went from `before` to `after`."""

    before: int
    after: int


class Overflowed(TransitionError):
    """The number is at its maximum, 2**64 - 1."""


class CounterState(State):
    value = Value(int, 0)


class Counter(StateMachine):
    """Replies to each `Increment` with the new number."""

    State = CounterState
    Input = Increment
    UntrackedAction = Incremented
    Reply = int

    def stf(
        self, state: CounterState, input: Normal[Increment] | TrackedActionCompleted[None], actions: Actions
    ) -> int:
        before = state.value.get()
        if before == MAXIMUM:
            raise Overflowed(f"the counter is at its maximum, {MAXIMUM}")
        after = before + 1
        state.value.set(after)
        actions.add(Untracked(Incremented(before, after)))
        return after

    def check_invariants(self, state: CounterState) -> None:
        value = state.value.get()
        if not 0 <= value <= MAXIMUM:
            raise InvariantViolation(f"in range: the counter is {value}, which is not between 0 and {MAXIMUM}")

    def check_changes(self, state: CounterState, changes: Changes) -> None:
        if "value" in changes:
            self.check_invariants(state)
