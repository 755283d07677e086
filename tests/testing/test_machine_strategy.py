"""A property test made from a machine's types: it passes for a right machine and finds what a wrong one does."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import run_state_machine_as_test

from layers.coffee_shop.machine import CoffeeShop
from phasm_fdb import InvariantViolation, Normal, Tracked, TrackedActionCompleted
from phasm_fdb.codec import Codec
from phasm_fdb.testing import assert_deterministic, machine_strategy, values_of
from phasm_fdb.testing.driver import Driver
from tests.machines import Charged, Deposit, Pay, Wallet

FEW = settings(max_examples=10, stateful_step_count=10, derandomize=True, database=None, phases=[Phase.generate])

PAYLOADS = st.builds(Deposit, st.sampled_from("ab"), st.integers(0, 50)) | st.builds(
    Pay, st.sampled_from("ab"), st.integers(0, 50)
)


def test_a_right_machine_holds() -> None:
    run_state_machine_as_test(machine_strategy(Wallet, inputs=PAYLOADS), settings=FEW)  # type: ignore[no-untyped-call]
    run_state_machine_as_test(machine_strategy(CoffeeShop), settings=FEW)  # type: ignore[no-untyped-call]


class Overdrawn(Wallet):
    """Does not look at the balance."""

    def pay(self, state: Any, actions: Any, user: str, cents: int) -> int:
        state.balance[user] = state.balance.get(user, 0) - cents
        return 0


class Forgets(Wallet):
    """Charges, and drops the answer."""

    def stf(self, state: Any, input: Any, actions: Any) -> Any:
        if isinstance(input, TrackedActionCompleted):
            return None
        return super().stf(state, input, actions)


class Remembers(Wallet):
    """Keeps state outside of its state."""

    seen = 0

    def stf(self, state: Any, input: Any, actions: Any) -> Any:
        type(self).seen += 1
        if isinstance(input, Normal):
            state.history.append(str(self.seen))
        return super().stf(state, input, actions)


@pytest.mark.parametrize("machine", [Overdrawn, Forgets, Remembers])
def test_a_wrong_machine_is_found(machine: Any) -> None:
    with pytest.raises(Exception) as caught:
        run_state_machine_as_test(machine_strategy(machine, inputs=PAYLOADS), settings=FEW)  # type: ignore[no-untyped-call]
    assert type(caught.value).__name__ in ("InvariantViolation", "NondeterminismError")


def test_a_driver_restores_what_was_pending() -> None:
    driver = Driver(Wallet)
    driver.apply(Deposit("ann", 5))
    assert driver.apply(Pay("ann", 9)) is None
    driver.apply(Pay("ann", 5))
    driver.crash()
    (pending,) = driver.pending
    assert isinstance(pending, Tracked)
    assert type(pending.action).__name__ == "CheckCharge"
    driver.complete(0, Charged("r"))
    assert driver.pending == []
    driver.repeat(1)


def test_a_violation_stops_the_driver() -> None:
    driver = Driver(Overdrawn)
    with pytest.raises(InvariantViolation):
        driver.apply(Pay("ann", 1))


@given(values_of(Wallet.Input))
def test_values_of_a_type_can_be_stored(value: Any) -> None:
    codec: Codec[Any] = Codec(Wallet.Input, "x")
    assert codec.decode(codec.encode(value)) == value


def test_the_lint_is_an_assertion() -> None:
    assert_deterministic(Wallet)
    with pytest.raises(AssertionError, match="Remembers is not deterministic"):
        assert_deterministic(Remembers)
