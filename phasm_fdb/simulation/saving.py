"""A run as a small text file: what is needed to play it again, and what it showed.

# phasm simulate: a program of 2 choices
# workload: shop.workload:ShopWorkload
# settings: {"seed": 4, "ops": 6, ...}
# fails: exactly once: request 1 was applied twice, ...
op 1 | execute | 1 | {"client": 1, "at": 0.0, "mode": "apply"}
op 1 | 1021 done | 1 | 1
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

from phasm_fdb.errors import PhasmError
from phasm_fdb.simulation.choices import Choice, from_text, to_text
from phasm_fdb.simulation.loading import load_workload
from phasm_fdb.simulation.planned import check_choice, settings_of
from phasm_fdb.simulation.result import Result
from phasm_fdb.simulation.runner import Made, play
from phasm_fdb.simulation.settings import Settings

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
