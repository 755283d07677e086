"""Whether what a file says of a run is something that a run could have: files come from anybody."""

from __future__ import annotations

import dataclasses
import random
import re
from collections.abc import Mapping
from typing import Any

from phasm_fdb.simulation.choices import EXECUTE, LEAVE, Choice
from phasm_fdb.simulation.faults import KINDS
from phasm_fdb.simulation.settings import APPLY, CALL, SUBMIT, Settings

#: The most that a file may ask for: beyond it a run would take weeks, or all memory.
MOST = {"ops": 10_000_000, "workers": 1_000, "clients": 1_000, "lanes": 1_000, "concurrency": 100_000}
MOST_SECONDS = 1e6
MOST_NUMBER = 2**32
MODES = (APPLY, SUBMIT, CALL)

_OPERATION = re.compile(r"op [1-9][0-9]{0,9}")


def settings_of(data: Any) -> Settings:
    """The settings that a file gives as JSON.

    Raises:
        ValueError: they are none; the message names what is wrong.
    """
    if not isinstance(data, dict):
        raise ValueError(f"its settings are {data!r:.100}, and must be an object with names")
    fields = {field.name: field for field in dataclasses.fields(Settings)}
    for name, value in data.items():
        if name not in fields:
            raise ValueError(f"its settings have {name!r:.100}, which this version does not know")
        _refuse_unless(_is_setting(name, str(fields[name].type), value), f"its setting {name}", value)
    _refuse_unless("seed" in data, "its seed", None)
    return Settings(**{**data, "modes": tuple(data.get("modes", Settings(0).modes))})


def check_choice(choice: Choice) -> None:
    """Raise a ValueError, which names the choice, if no run could have made it."""
    if choice.what in (EXECUTE, LEAVE):
        is_one = _OPERATION.fullmatch(choice.who) is not None and _is_operation(choice.value)
    elif choice.what in KINDS:
        draw = KINDS[choice.what].draw
        is_one = _is_like(True if draw is None else draw(random.Random(0)), choice.value)
    else:
        is_one = False
    _refuse_unless(is_one and choice.index >= 1, "a choice", choice.line())


def _is_setting(name: str, type_: str, value: Any) -> bool:
    if name == "modes":
        numbers = value if isinstance(value, list) else []
        return len(numbers) == len(MODES) and all(_is_number(one, 0.0) for one in numbers) and sum(numbers) > 0
    if name == "faults":
        return isinstance(value, Mapping) and all(
            kind in KINDS and _is_number(often, 0.0, 1.0) for kind, often in value.items()
        )
    if type_ == "bool":
        return isinstance(value, bool)
    if name == "seed":
        return isinstance(value, int) and not isinstance(value, bool)
    if type_ == "int":
        return isinstance(value, int) and _is_number(value, 1, MOST[name])
    return _is_number(value, 1e-6)


def _is_operation(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and value.keys() == {"client", "at", "mode"}
        and isinstance(value["client"], int)
        and _is_number(value["client"], 1, MOST["clients"])
        and _is_number(value["at"], 0.0)
        and value["mode"] in MODES
    )


def _is_like(example: object, value: Any) -> bool:
    """Whether a value is of the type that such choices have."""
    if isinstance(example, bool):
        return isinstance(value, bool)
    if isinstance(example, int):
        return isinstance(value, int) and _is_number(value, 0, MOST_NUMBER)
    return _is_number(value, -MOST_SECONDS)


def _is_number(value: Any, least: float, most: float = MOST_SECONDS) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and least <= value <= most


def _refuse_unless(holds: bool, what: str, value: object) -> None:
    if not holds:
        raise ValueError(f"{what} is {value!r:.100}, which no run has")
