"""Machines, handlers and runtimes that are wrong in one place each. The simulator finds every one of them.

Each file has a workload `Planted`; where the fault is not in the machine but in the package, it also has a context
manager `planted`, under which the package has that fault. `EXPECTED` says how the simulator's message begins.
"""
