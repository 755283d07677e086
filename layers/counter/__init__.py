"""The smallest machine: a number that can be incremented, as in PHASM's `csm` example."""

from layers.counter.machine import MAXIMUM, Counter, CounterState, Increment, Incremented, Overflowed

__all__ = ["MAXIMUM", "Counter", "CounterState", "Increment", "Incremented", "Overflowed"]
