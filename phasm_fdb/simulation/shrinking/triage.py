"""What is done about a failing run: it is shrunk, told in steps, and saved with a regression test."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from phasm_fdb.simulation.report.steps import steps
from phasm_fdb.simulation.run.result import Result
from phasm_fdb.simulation.run.runner import Made, play
from phasm_fdb.simulation.run.saving import SavedRun
from phasm_fdb.simulation.shrinking.shrinker import DEFAULT_SECONDS, shrink, way_of

#: Where failing runs are saved, in the current folder.
FOLDER = Path(".phasm")


@dataclass(frozen=True, slots=True)
class Finding:
    """A failing run, as short as it could be made.

    Attributes:
        run: its result, with the events kept.
        saved: it as a program.
        runs: how many runs shrinking took; 0 if it was not tried.
        reproduced: whether it fails again when it is played. If not, it depends on more than its choices.
    """

    run: Result
    saved: SavedRun
    runs: int
    reproduced: bool

    def text(self) -> str:
        """What happened, in steps."""
        if not self.reproduced:
            return (
                "it did not fail again when its choices were played: the machine, or the workload, depends on more "
                "than those; the lint and the guard may know on what"
            )
        size = len(self.saved.choices)
        return f"shrunk to {size} choices in {self.runs:,} runs, it takes these steps:\n{steps(self.run)}"

    def save(self, folder: Path = FOLDER) -> tuple[Path, Path]:
        """Write the program and a regression test; returns where."""
        folder.mkdir(parents=True, exist_ok=True)
        name = f"{self.saved.workload.rpartition(':')[2]}_{self.saved.settings.seed}"
        program, test = folder / f"{name}.phasm", folder / f"test_{_snake(name)}.py"
        program.write_text(self.saved.to_text())
        test.write_text(test_file(self.saved))
        return program, test


def investigate(
    workload: Made,
    name: str,
    failing: Result,
    *,
    seconds: float = DEFAULT_SECONDS,
    progress: Callable[[Result], None] = lambda result: None,
) -> Finding:
    """Shrink a failing run, and play it once more with its events kept.

    Args:
        name: of the workload, `MODULE:WORKLOAD`.
        failing: the result of one seed, with a violation.
        seconds: for how long to shrink at most.
        progress: told of each shorter program.
    """
    shrunk = shrink(workload, failing, seconds=seconds, progress=progress)
    settings, choices = shrunk.result.settings, shrunk.result.choices
    assert settings is not None, "a result of one run has its settings"
    run = play(workload, settings, choices, keep_events=True)
    return Finding(run, SavedRun.of(name, shrunk.result), shrunk.runs, shrunk.reproduced and not run.held)


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


_TEMPLATE = '''"""{title}

Found by `phasm simulate`, which shrank it to {size} choices.
"""

from phasm_fdb.simulation import replay

PROGRAM = r"""
{program}"""


def test_{name}() -> None:
    result = replay(PROGRAM, "{workload}")
    assert result.held, result.violations[0].invariant
'''


def test_file(run: SavedRun) -> str:
    """The text of a test that fails while the run does, and passes once the bug is gone."""
    fails = run.fails or "everything held"
    title = way_of(fails).replace("#", "...").replace('"', "'").replace("\\", "/")
    name = re.sub(r"\W+", "_", way_of(fails)).strip("_").lower()[:60] or "it_holds"
    program = run.to_text().replace('"""', "'''")
    return _TEMPLATE.format(
        title=title[:1].upper() + title[1:] + ".",
        size=len(run.choices),
        name=name,
        program=program,
        workload=run.workload,
    )
