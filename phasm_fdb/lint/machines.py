"""Finding the machines that `MODULE` or `MODULE:MACHINE` names."""

from __future__ import annotations

from typing import Any

from phasm_fdb.layer import Layer
from phasm_fdb.lint.finding import LintError
from phasm_fdb.machine import StateMachine
from phasm_fdb.naming import import_module


def load_machines(name: str) -> list[StateMachine | type[StateMachine]]:
    """The machines of a module, or the one that is named: a class, a machine, or a layer.

    Args:
        name: `MODULE` for every machine class that the module defines or, as a package, gives out; or
            `MODULE:MACHINE`. The module may lie in the current folder.

    Raises:
        LintError: the module cannot be imported, or has no such machine.
    """
    module_name, colon, attribute = name.partition(":")
    if not module_name or (colon and not attribute):
        raise LintError(f"{name!r} is not MODULE or MODULE:MACHINE, such as my_app.wallet:Wallet")
    module = import_module(module_name, LintError)
    machines = [one for one in vars(module).values() if _is_machine_class(one)]
    if attribute:
        return [_machine(module_name, attribute, getattr(module, attribute, None), machines)]
    if not machines:
        raise LintError(f"{module_name} has no machine: a class that derives from phasm_fdb.StateMachine")
    return [_made(cls) for cls in dict.fromkeys(machines)]


def _machine(
    module: str, name: str, found: Any, machines: list[type[StateMachine]]
) -> StateMachine | type[StateMachine]:
    if isinstance(found, Layer):
        return found.machine
    if isinstance(found, StateMachine):
        return found
    if _is_machine_class(found):
        return _made(found)
    has = f"it has {', '.join(cls.__name__ for cls in machines)}" if machines else "it has none"
    raise LintError(f"{module} has no machine {name!r}; {has}")


def _is_machine_class(value: Any) -> bool:
    return isinstance(value, type) and issubclass(value, StateMachine) and value is not StateMachine


def _made(cls: type[StateMachine]) -> StateMachine | type[StateMachine]:
    """A machine of that class, which shows its attributes; the class itself if it takes arguments."""
    try:
        return cls()
    except TypeError:
        return cls
