"""Loading the machines that `MODULE` or `MODULE:MACHINE` names."""

from __future__ import annotations

from typing import Any

from phasm_fdb.layer import Layer
from phasm_fdb.machine import StateMachine
from phasm_fdb.naming import Loadable, NameNotFound, import_module


def _is_machine_class(value: Any) -> bool:
    return isinstance(value, type) and issubclass(value, StateMachine) and value is not StateMachine


def _has_machine(value: Any) -> bool:
    return isinstance(value, Layer | StateMachine) or _is_machine_class(value)


MACHINE = Loadable("machine", "my_app.wallet:Wallet", _is_machine_class, _has_machine)


def load_machines(name: str) -> list[StateMachine | type[StateMachine]]:
    """Load the machines of a module, or the one that is named: a class, a machine, or a layer.

    Args:
        name: `MODULE` for every machine class that the module defines or, as a package, gives out; or
            `MODULE:MACHINE`. The module may lie in the current folder.

    Raises:
        NameNotFound: the module cannot be imported, or has no such machine.
    """
    if ":" in name:
        _, found = MACHINE.load(name)
        machine = found.machine if isinstance(found, Layer) else found
        return [_made(machine) if isinstance(machine, type) else machine]
    machines = [one for one in vars(import_module(name)).values() if _is_machine_class(one)]
    if not machines:
        raise NameNotFound(f"{name} has no machine: a class that derives from phasm_fdb.StateMachine")
    return [_made(cls) for cls in dict.fromkeys(machines)]


def _made(cls: type[StateMachine]) -> StateMachine | type[StateMachine]:
    """A machine of that class, which shows its attributes; the class itself if it takes arguments."""
    try:
        return cls()
    except TypeError:
        return cls
