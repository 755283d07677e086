"""Raises an exception in running code wherever a signal's handler could raise one, one place after the other.

CPython looks for signals when a function begins, after a call, and when a loop goes back; nowhere else. The exception
is raised in the step that follows such a place, where that step is guarded by the same handlers: raised between the
last call of a `with` block and the block's end, say, it would skip the end, which no signal can do.
"""

from __future__ import annotations

import dis
import functools
import itertools
import sys
from collections.abc import Callable
from types import CodeType, FrameType
from typing import Any

FOLDERS = ("phasm_fdb/embedded", "phasm_fdb/database", "sortedcontainers", "asyncio/base_events")

_LOOKS = ("CALL", "RESUME", "JUMP_BACKWARD", "POP_JUMP_BACKWARD")


class Interrupted(BaseException):
    """What the handler of a signal raises."""


@functools.cache
def _places(code: CodeType) -> frozenset[int]:
    """The offsets of the instructions before which it may be raised."""
    if not any(folder in code.co_filename.replace("\\", "/") for folder in FOLDERS):
        return frozenset()
    bytecode = dis.Bytecode(code)
    entries = bytecode.exception_entries  # type: ignore[attr-defined]

    def handler(offset: int) -> Any:
        return next(((entry.target, entry.depth) for entry in entries if entry.start <= offset < entry.end), None)

    instructions = list(bytecode)
    found = set()
    for before, after in itertools.pairwise(instructions):
        if before.opname.startswith(_LOOKS):
            following = before.argval if "JUMP" in before.opname else after.offset
            if handler(before.offset) == handler(following):
                found.add(following)
    return frozenset(found)


def run_interrupted(action: Callable[[], object], at: int) -> bool:
    """Run `action`, and raise `Interrupted` at the place number `at` of those that it passes, counted from 1.

    Returns whether it came so far. The exception is dropped, with all that it holds.
    """
    passed = 0

    def trace(frame: FrameType, event: str, arg: object) -> Any:
        nonlocal passed
        places = _places(frame.f_code)
        if not places:
            return None
        frame.f_trace_opcodes = True
        if event == "opcode" and frame.f_lasti in places:
            passed += 1
            if passed == at:
                raise Interrupted(f"in {frame.f_code.co_qualname}, line {frame.f_lineno}")
        return trace

    tracing = sys.gettrace()
    sys.settrace(trace)
    try:
        action()
    except Interrupted:
        return True
    finally:
        sys.settrace(tracing)
    return passed >= at  # it came to a place whose exceptions are dropped, such as a destructor
