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
import sys
import threading
from collections.abc import Callable
from types import ClassMethodDescriptorType, ModuleType
from typing import Any

from phasm_fdb.guard.auditing import close_audited
from phasm_fdb.guard.judging import judge
from phasm_fdb.guard.mode import watched
from phasm_fdb.origin import is_project_module
from phasm_fdb.outside import BY_ARGUMENTS, FUNCTIONS

_lock = threading.Lock()

#: Where `os` says which of its functions take what; `shutil` asks, and does without the others.
_ABILITIES = (os.supports_dir_fd, os.supports_effective_ids, os.supports_fd, os.supports_follow_symlinks)

#: The module in C that has the functions of `os`.
_SYSTEM = sys.modules.get(os.name)

KindOf = Callable[..., str | None]

#: What stands in the place of a function, by the `id` of that function, which its replacement keeps alive.
_replaced: dict[int, Callable[..., Any]] = {}


def close_doors() -> None:
    """Close every door, if that is not done yet."""
    with _lock:
        if _replaced:
            return
        always = {
            f"{path}.{name}": _always(kind)
            for kind, owners in FUNCTIONS.items()
            for path, names in owners.items()
            for name in names
        }
        for function, kind_of in (always | BY_ARGUMENTS).items():
            path, _, name = function.rpartition(".")
            _close_function(path, name, kind_of)
        for name in ("__getitem__", "__iter__"):
            _close(type(os.environ), name, _always("environment"), "os.environ")
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


def _always(kind: str) -> KindOf:
    return lambda *_, **__: kind


def _close_function(path: str, name: str, kind_of: KindOf) -> None:
    """Close a function of a module or class, if this Python has it on this system.

    Args:
        path: the module, or module and class.
        kind_of: the kind of door that a call with these arguments is, or None.
    """
    module, _, class_name = path.partition(".")
    try:
        owner: Any = importlib.import_module(module)
    except ImportError:  # a module for other systems
        return
    if class_name:
        owner = getattr(owner, class_name)
    if not hasattr(owner, name):  # added in a later Python, or not on this system
        return
    call = f"{path}()" if name == "__init__" else f"{path}.{name}()"
    if module == "datetime":
        _close_method_in_c(owner, name, kind_of, call)
    else:
        _close(owner, name, kind_of, call)


def _close(owner: Any, name: str, kind_of: KindOf, call: str) -> None:
    """Replace a function of a module, or a method of a class written in Python."""
    original = getattr(owner, name)
    door = _door(original, kind_of, call)
    setattr(owner, name, door)
    if owner is os and getattr(_SYSTEM, name, None) is original:  # `os` gives out what another module has
        setattr(_SYSTEM, name, door)
    for able in _ABILITIES:
        if original in able:
            able.add(door)
    _replaced[id(original)] = door


def _close_method_in_c(owner: type, name: str, kind_of: KindOf, call: str) -> None:
    """Replace a method or class method of a class written in C, which takes no assignment.

    `datetime.now` asks the system's clock itself, and most modules have imported the class by name, so neither the
    clock nor a module's name can be replaced. The dictionary behind the class can, as `gc` shows it; CPython then has
    to be told that the class has changed. `date.today` would be noticed without it, since it calls `time.time`.
    """
    namespace = next((found for found in gc.get_referents(owner.__dict__) if isinstance(found, dict)), None)
    if namespace is None or sys.implementation.name != "cpython":
        return
    original = next(base.__dict__[name] for base in owner.__mro__ if name in base.__dict__)
    if isinstance(original, ClassMethodDescriptorType):
        namespace[name] = classmethod(_door_of_class(original, kind_of, call))
    else:
        namespace[name] = _door(original, kind_of, call)
    modified = ctypes.pythonapi.PyType_Modified
    modified.argtypes, modified.restype = [ctypes.py_object], None
    modified(owner)


def _door(original: Callable[..., Any], kind_of: KindOf, call: str) -> Callable[..., Any]:
    """What stands in the place of a function: it looks who calls, and does what the function did."""
    is_watched = watched.get

    @functools.wraps(original)
    def door(*args: Any, **kwargs: Any) -> Any:
        if is_watched() is not None:
            _judge(kind_of, args, kwargs, call)
        return original(*args, **kwargs)

    return door


def _door_of_class(original: ClassMethodDescriptorType, kind_of: KindOf, call: str) -> Callable[..., Any]:
    is_watched = watched.get

    @functools.wraps(original)
    def door(cls: type, *args: Any, **kwargs: Any) -> Any:
        if is_watched() is not None:
            _judge(kind_of, args, kwargs, call)
        return original.__get__(None, cls)(*args, **kwargs)

    return door


def _judge(kind_of: KindOf, args: tuple[Any, ...], kwargs: dict[str, Any], call: str) -> None:
    try:
        kind = kind_of(*args, **kwargs)
    except TypeError:  # such a call fails by itself
        return
    if kind is not None:
        judge(kind, call, sys._getframe(2))
