"""The guard: while machine code runs, every way to the clock, to chance and to the outside world is an error.

`Layer(machine, subspace, guard="error")` turns it on, `"warn"` only says where it would have been raised, and `"off"`,
the default, costs nothing. It is meant for tests and simulation, and cheap enough for production.

It sees what machine code calls, in its own thread and task; the engine's own clocks and files, other threads and other
tasks go on undisturbed. What it cannot see, such as the order of a set, `phasm lint` finds in the text.
"""

from phasm_fdb.guard.definition import GuardedDefinition, define
from phasm_fdb.guard.mode import Mode, NondeterminismWarning, set_default_mode

__all__ = ["GuardedDefinition", "Mode", "NondeterminismWarning", "define", "set_default_mode"]
