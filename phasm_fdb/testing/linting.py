"""The lint as an assertion, for a test beside the machine."""

from __future__ import annotations

from phasm_fdb.lint import check_machine
from phasm_fdb.machine import StateMachine


def assert_deterministic(machine: StateMachine | type[StateMachine]) -> None:
    """Fail if the machine's code reaches for what its state and input do not decide, as `phasm lint` finds it.

    Raises:
        AssertionError: something was found; the message has every finding on a line of its own.
        LintError: the machine's own code cannot be read.
    """
    findings = check_machine(machine)
    name = machine.__name__ if isinstance(machine, type) else type(machine).__name__
    assert not findings, f"{name} is not deterministic:\n" + "\n".join(f"  {finding}" for finding in findings)
