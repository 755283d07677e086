"""Whose code a module is: the standard library's, an installed package's, or the project's that has the machine."""

from __future__ import annotations

import sys
from types import ModuleType

#: The folders that installed packages lie in.
_INSTALLED = ("/site-packages/", "/dist-packages/", "\\site-packages\\")


def package_of(module_name: str) -> str:
    """The outermost package of a module."""
    return module_name.partition(".")[0]


def is_project_module(module: ModuleType, machine_module: str) -> bool:
    """Whether a module belongs to the project that has the machine.

    Args:
        machine_module: the name of the machine's module: its package is the project's, also where it is installed.
    """
    name = module.__name__
    package = package_of(name)
    if package == package_of(machine_module):
        return True
    if package in sys.stdlib_module_names or package == "phasm_fdb":
        return False
    file = getattr(module, "__file__", None)
    return isinstance(file, str) and not any(folder in file for folder in _INSTALLED)
