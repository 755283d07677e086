"""Closing the doors: Python's own functions, replaced by ones that ask first who calls.

It is done once, when the first guarded layer is made, and for the whole process; a process without one is untouched.
A closed door costs every caller one look at a context variable, and does nothing else unless machine code runs.
"""

from __future__ import annotations

import ctypes
import functools
import gc
import importlib
import os
import random
import sys
import threading
from collections.abc import Callable
from types import ModuleType
from typing import Any

from phasm_fdb.guard.auditing import close_audited
from phasm_fdb.guard.judging import judge
from phasm_fdb.guard.mode import watched
from phasm_fdb.origin import is_project_module
from phasm_fdb.outside import CLOCK_UNLESS_GIVEN, FUNCTIONS

_lock = threading.Lock()

#: Where `os` says which of its functions take what; `shutil` asks, and does without the others.
_ABILITIES = (os.supports_dir_fd, os.supports_effective_ids, os.supports_fd, os.supports_follow_symlinks)

#: What stands in the place of a function, by the `id` of that function, which its replacement keeps alive.
_replaced: dict[int, Callable[..., Any]] = {}


def close_doors() -> None:
    """Close every door, if that is not done yet."""
    with _lock:
        if _replaced:
            return
        for kind, owners in FUNCTIONS.items():
            for path, names in owners.items():
                _close_functions(kind, path, names)
        for name in ("__getitem__", "__iter__"):
            _close(type(os.environ), name, "environment", "os.environ")
        _close_unseeded_generators()
        close_audited()


def close_imported(machine_module: str) -> None:
    """Close the doors that project modules have imported by name: `from time import time`.

    Args:
        machine_module: the module of the machine, which is project code wherever it is installed.
    """
    for module in list(sys.modules.values()):
        if isinstance(module, ModuleType) and is_project_module(module, machine_module):
            namespace = vars(module)
            for name, value in list(namespace.items()):
                replacement = _replaced.get(id(value))
                if replacement is not None:
                    namespace[name] = replacement


def _close_functions(kind: str, path: str, names: tuple[str, ...]) -> None:
    module, _, class_name = path.partition(".")
    owner: Any = importlib.import_module(module)
    if class_name:
        owner = getattr(owner, class_name)
    for name in names:
        if not hasattr(owner, name):  # added in a later Python, or not on this system
            continue
        if module == "datetime":
            _close_class_method(owner, name, kind, f"{path}.{name}()")
        else:
            _close(owner, name, kind, f"{path}.{name}()", CLOCK_UNLESS_GIVEN.get(f"{path}.{name}"))


def _close(owner: Any, name: str, kind: str, call: str, unless_given: int | None = None) -> None:
    """Replace a function of a module, or a method of a class written in Python.

    Args:
        unless_given: the call is a door only with no more than so many arguments; None if it always is.
    """
    original = getattr(owner, name)
    is_watched = watched.get

    @functools.wraps(original)
    def door(*args: Any, **kwargs: Any) -> Any:
        if is_watched() is not None and (unless_given is None or len(args) <= unless_given):
            judge(kind, call, sys._getframe(1))
        return original(*args, **kwargs)

    setattr(owner, name, door)
    for able in _ABILITIES:
        if original in able:
            able.add(door)
    _replaced[id(original)] = door


def _close_class_method(owner: type, name: str, kind: str, call: str) -> None:
    """Replace a class method of a class written in C, which takes no assignment.

    `datetime.now` asks the system's clock itself, and most modules have imported the class by name, so neither the
    clock nor a module's name can be replaced. The dictionary behind the class can, as `gc` shows it; CPython then has
    to be told that the class has changed. `date.today` would be noticed without it, since it calls `time.time`.
    """
    namespace = next((found for found in gc.get_referents(owner.__dict__) if isinstance(found, dict)), None)
    if namespace is None or sys.implementation.name != "cpython":
        return
    original = getattr(owner, name)
    unbound = next(base.__dict__[name] for base in owner.__mro__ if name in base.__dict__)
    is_watched = watched.get

    @functools.wraps(original)
    def door(cls: type, *args: Any, **kwargs: Any) -> Any:
        if is_watched() is not None:
            judge(kind, call, sys._getframe(1))
        return unbound.__get__(None, cls)(*args, **kwargs)

    namespace[name] = classmethod(door)
    modified = ctypes.pythonapi.PyType_Modified
    modified.argtypes, modified.restype = [ctypes.py_object], None
    modified(owner)


def _close_unseeded_generators() -> None:
    """`random.Random()` takes its seed from the system; `random.Random(seed)` is a function of that seed."""
    original = random.Random.__init__
    is_watched = watched.get

    @functools.wraps(original)
    def door(self: random.Random, x: Any = None) -> None:
        if x is None and is_watched() is not None:
            judge("random", "random.Random()", sys._getframe(1))
        original(self, x)

    random.Random.__init__ = door  # type: ignore[method-assign]
