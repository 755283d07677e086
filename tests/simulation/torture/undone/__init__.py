"""Mends that are undone, each in a file: the machine of everything finds every one of them again.

Each file has a context manager `undone`, under which the package is wrong as it was before the mend, and says in `NET`
what finds it: "callers" (the game) or "system" (the simulator), then also with which faults it is found soon.
"""
