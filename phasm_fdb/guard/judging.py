"""Who went through a door: the machine, or what runs underneath and beside it."""

from __future__ import annotations

import sys
import warnings
from types import FrameType

from phasm_fdb.errors import NondeterminismError
from phasm_fdb.guard.mode import NondeterminismWarning, Watch, watched
from phasm_fdb.outside import DOORS

#: Packages that run inside machine code without being what the machine decides by: this one and what it stands on,
#: and the tools that rewrite, trace or measure code in tests.
TRUSTED = frozenset(
    ("phasm_fdb", "fdb", "cattrs", "attr", "msgpack", "greenlet", "sortedcontainers")
    + ("pytest", "_pytest", "pluggy", "hypothesis", "coverage", "pydevd", "_pydevd_bundle", "debugpy")
)

#: The packages whose code acts for its caller.
NOT_THE_MACHINE = TRUSTED | sys.stdlib_module_names

#: Modules below which a door is open, whoever opened it: the database that the state is read from; importing, which
#: brings code and not data; messages for people, which no decision depends on; the rules of time zones; and reading a
#: time, which learns the names of all months even where the format asks for none.
LIFTED = frozenset(
    ("phasm_fdb.database", "phasm_fdb.embedded", "phasm_fdb.simulation")
    + ("importlib._bootstrap", "importlib._bootstrap_external", "_frozen_importlib", "zipimport")
    + ("logging", "warnings", "linecache", "traceback", "zoneinfo", "_strptime")
)
_BELOW_LIFTED = tuple(f"{name}." for name in sorted(LIFTED))

#: Where machine code begins, seen from inside; and the code of a workload, which the simulator guards too.
ENTRIES = frozenset(("phasm_fdb.guard.definition", "phasm_fdb.simulation.world.guarding"))


def judge(kind: str, call: str, caller: FrameType | None) -> None:
    """Raise or warn, as the guard's mode says, if machine code has made a call that it may not make.

    Args:
        kind: which of `phasm_fdb.outside.DOORS` it goes through.
        call: the call, as the message names it.
        caller: the frame that it was made in.

    Raises:
        NondeterminismError: the machine made the call, and the mode is "error".
    """
    watch = watched.get()
    culprit = machine_frame(caller)
    if watch is None or culprit is None:
        return
    if watch.refuse is not None:
        watch.refuse(kind, call, f"{culprit.f_code.co_filename}:{culprit.f_lineno}")
        return
    door = DOORS[kind]
    message = (
        f"{watch.function} calls {call} at {culprit.f_code.co_filename}:{culprit.f_lineno}, which {door.does}: "
        f"{door.instead} (PHASM's invariants 2 and 10)"
    )
    if watch.mode == "error":
        raise NondeterminismError(message)
    _warn(message, culprit, watch)


def machine_frame(frame: FrameType | None) -> FrameType | None:
    """The innermost frame of machine code that called what runs in `frame`; None if it was not the machine.

    The standard library acts for its caller. The frames are looked at up to where the machine was entered, because
    what is read for it by the database, or imported, may run any code.
    """
    found: FrameType | None = None
    while frame is not None:
        module = str(frame.f_globals.get("__name__", ""))
        if module in ENTRIES:
            return found
        if module in LIFTED or module.startswith(_BELOW_LIFTED) or frame.f_code.co_name == "<module>":
            return None
        package = module.partition(".")[0]
        if found is None and package in TRUSTED:
            return None
        if (found is None or _is_generated(found)) and package not in NOT_THE_MACHINE:
            found = frame
        frame = frame.f_back
    return found


def _is_generated(frame: FrameType) -> bool:
    """Whether the code of a frame has no file: the methods of dataclasses are made from strings."""
    return frame.f_code.co_filename.startswith("<")


def _warn(message: str, culprit: FrameType, watch: Watch) -> None:
    token = watched.set(None)  # a warning is shown with its source line, which is read from a file
    try:
        registry = culprit.f_globals.setdefault("__warningregistry__", {})
        module = culprit.f_globals.get("__name__")
        warnings.warn_explicit(
            message, NondeterminismWarning, culprit.f_code.co_filename, culprit.f_lineno, module, registry
        )
    finally:
        watched.reset(token)
