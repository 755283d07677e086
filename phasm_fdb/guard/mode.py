"""Whether the guard is on: for the process by default, and right now for the code that runs."""

from __future__ import annotations

import typing
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Literal

from phasm_fdb.errors import MachineDefinitionError

Mode = Literal["error", "warn", "off"]

_default: Mode = "off"


class NondeterminismWarning(RuntimeWarning):
    """What a layer with `guard="warn"` gives where one with `guard="error"` raises a `NondeterminismError`."""


@dataclass(frozen=True, slots=True)
class Watch:
    """The guard is on: machine code runs.

    Attributes:
        mode: what to do about a way out.
        function: the machine's function, as messages name it: "Wallet.stf".
        refuse: called, instead of what the mode says, with the kind of door, the call, and the place of it; for other
            code than a machine's.
    """

    mode: Mode
    function: str
    refuse: Callable[[str, str, str], None] | None = None


#: Set while machine code runs. A context variable is neither seen by other threads nor by other asyncio tasks, and a
#: greenlet of `aio.run` has a context of its own, so that it is not seen while that waits for the database either.
watched: ContextVar[Watch | None] = ContextVar("phasm_fdb.watched", default=None)


def set_default_mode(mode: Mode) -> Mode:
    """Set the guard of the layers that do not say it themselves, for those that this process makes from now on.

    Returns:
        The mode that it was before.
    """
    global _default
    before, _default = _default, checked(mode)
    return before


def mode_or_default(mode: Mode | None) -> Mode:
    """The mode, or the process's default for None; raises a MachineDefinitionError for anything else."""
    return _default if mode is None else checked(mode)


def checked(mode: Mode) -> Mode:
    """The mode, if it is one."""
    if mode not in typing.get_args(Mode):
        raise MachineDefinitionError(f'guard is {mode!r}, and must be "error", "warn" or "off"')
    return mode
