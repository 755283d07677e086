"""A run as a small text file: what is needed to play it again, and what it showed.

# phasm simulate: a program of 2 choices
# workload: shop.workload:ShopWorkload
# settings: {"seed": 4, "ops": 6, ...}
# fails: exactly once: request 1 was applied twice, ...
op 1 | execute | 1 | {"client": 1, "at": 0.0, "mode": "apply"}
op 1 | 1021 done | 1 | 1

Files come from anybody, so it is checked whether what they say is something that a run could have.
"""

from __future__ import annotations

import dataclasses
import json
import random
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from phasm_fdb.errors import PhasmError
from phasm_fdb.simulation.choices import EXECUTE, LEAVE, Choice, from_text, to_text
from phasm_fdb.simulation.faults import KINDS
from phasm_fdb.simulation.program import MODES
from phasm_fdb.simulation.run.result import Result
from phasm_fdb.simulation.run.runner import Made, play
from phasm_fdb.simulation.settings import Settings
from phasm_fdb.simulation.workload import load_workload

_NAME = re.compile(r"[\w.]+:[\w.<>]+")


class NotAProgram(PhasmError, ValueError):
    """A file does not hold a saved run; the message, one line, says why."""


@dataclass(frozen=True, slots=True)
class SavedRun:
    """A run to be played again.

    Attributes:
        workload: its name, `MODULE:WORKLOAD`.
        settings, choices: what it depends on.
        fails: the invariant that it violates; None if everything held.
    """

    workload: str
    settings: Settings
    choices: tuple[Choice, ...]
    fails: str | None = None

    @classmethod
    def of(cls, workload: str, result: Result) -> SavedRun:
        """The run of a result of one seed."""
        assert result.settings is not None, "a result of one run has its settings"
        fails = result.violations[0].invariant if result.violations else None
        return cls(workload, result.settings, result.choices, fails)

    def to_text(self) -> str:
        """The run as the text of a file."""
        lines = [
            f"# phasm simulate: a program of {len(self.choices)} choices",
            f"# workload: {self.workload}",
            f"# settings: {json.dumps(self.settings.as_dict())}",
        ]
        if self.fails is not None:
            lines.append(f"# fails: {' '.join(self.fails.split())}")
        return "\n".join(lines) + "\n" + to_text(self.choices)

    @classmethod
    def from_text(cls, text: str) -> SavedRun:
        """The run that a text holds.

        Raises:
            NotAProgram: it holds none.
        """
        workload, settings = _header(text, "workload"), _header(text, "settings")
        if workload is None or settings is None:
            raise NotAProgram("this is no saved run: it has no lines '# workload: ...' and '# settings: ...'")
        if not _NAME.fullmatch(workload):
            raise NotAProgram(f"its workload is {workload!r:.100}, and must be MODULE:WORKLOAD")
        try:
            choices = tuple(from_text(text))
            for choice in choices:
                check_choice(choice)
            return cls(workload, settings_of(json.loads(settings)), choices, _header(text, "fails"))
        except ValueError as error:
            raise NotAProgram(str(error)) from error
        except RecursionError as error:  # each Python says it in other words
            raise NotAProgram("its settings are nested too deeply to be read") from error

    def play(self, workload: Made | str, *, keep_events: bool = False) -> Result:
        """Play it.

        Args:
            workload: to play it with: its class, or its name, `MODULE:WORKLOAD`. What the run itself names is not
                imported: a file may come from anybody, and importing a module runs it.

        Raises:
            NameNotFound: there is none of that name.
        """
        made = load_workload(workload) if isinstance(workload, str) else workload
        return play(made, self.settings, self.choices, keep_events=keep_events)


def load(path: str | Path) -> SavedRun:
    """The run in a file.

    Raises:
        NotAProgram: the file cannot be read, or holds no saved run.
    """
    try:
        return SavedRun.from_text(Path(path).read_text())
    except (OSError, UnicodeDecodeError) as error:
        raise NotAProgram(f"cannot read {path}: {error}") from error
    except NotAProgram as error:
        raise NotAProgram(f"{path}: {error}") from error


def replay(text: str, workload: Made | str) -> Result:
    """Play the run that a text holds, as a regression test does.

    Args:
        text: what `SavedRun.to_text` gave.
        workload: to play it with: its class, or its name, `MODULE:WORKLOAD`.

    Raises:
        NotAProgram, NameNotFound: it cannot be played.
    """
    return SavedRun.from_text(text).play(workload)


def _header(text: str, name: str) -> str | None:
    start = f"# {name}: "
    return next((line[len(start) :] for line in text.splitlines() if line.startswith(start)), None)


#: The most that a file may ask for: beyond it a run would take weeks, or all memory.
MOST = {"ops": 10_000_000, "workers": 1_000, "clients": 1_000, "lanes": 1_000, "concurrency": 100_000}
MOST_SECONDS = 1e6
MOST_NUMBER = 2**32

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
