"""Finding the place of a call that the simulation refuses, for its error message."""

from __future__ import annotations

import sys
from types import FrameType

#: What acts for its caller: it is not to blame.
_ACTS_FOR_OTHERS = ("phasm_fdb", "greenlet")


def place_outside() -> str:
    """Where user code made the call that is being refused: ` at FILE:LINE`, or nothing if none is found."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        package = str(frame.f_globals.get("__name__", "")).partition(".")[0]
        if package not in _ACTS_FOR_OTHERS and (package == "__main__" or package not in sys.stdlib_module_names):
            return f" at {frame.f_code.co_filename}:{frame.f_lineno}"
        frame = frame.f_back
    return ""
