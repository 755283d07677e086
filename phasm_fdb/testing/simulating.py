"""Simulations in tests: what is wrong fails the test, shown as the lint finds it or as the shortest program."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from phasm_fdb.lint import LintError
from phasm_fdb.simulation.run.result import Result
from phasm_fdb.simulation.run.runner import Made, sweep
from phasm_fdb.simulation.run.runner import simulate as simulate_once
from phasm_fdb.simulation.settings import DEFAULT_OPS
from phasm_fdb.simulation.shrinking.triage import Finding, investigate
from phasm_fdb.simulation.workload import Workload
from phasm_fdb.simulation.world.inspector import make_machine
from phasm_fdb.testing.linting import assert_deterministic

SHRINK_SECONDS = 60.0


class Simulate:
    """What the `simulate` fixture gives; call it with a workload.

    Args:
        seeds, seconds: how many seeds, and how long, where the test does not say it.
        folder: where failing runs are saved; None for nowhere.
        lint: read the machine's code first, as `phasm lint` does.
    """

    def __init__(self, seeds: int | None, seconds: float | None, folder: Path | None, lint: bool = True) -> None:
        self._seeds = seeds
        self._seconds = seconds
        self._folder = folder
        self._lint = lint

    def __call__(
        self,
        workload: Made,
        *,
        seed: int = 0,
        seeds: int | None = None,
        ops: int = DEFAULT_OPS,
        workers: int | None = None,
        faults: str | Mapping[str, float] = "default",
        shrink_seconds: float = SHRINK_SECONDS,
    ) -> Result:
        """Run a workload from many seeds.

        Args:
            workload: the class, or a function that makes one.
            seed: the first seed.
            seeds: how many; the command line's if left out, which `--phasm-seeds` and `--phasm-time` say.
            ops: operations of each run.
            workers, faults: as for `phasm_fdb.simulation.simulate`.
            shrink_seconds: how long to shrink what fails at most.

        Returns:
            All results as one, if everything held; the test fails otherwise, and where the lint finds something.
        """
        if self._lint:
            _read(workload)
        seeds, seconds = (self._seeds, self._seconds) if seeds is None else (seeds, None)
        options: Any = {"ops": ops, "workers": workers, "faults": faults}
        result = sweep(workload, seed=seed, seeds=seeds, seconds=seconds, **options)
        if not result.held:
            self._fail(workload, result, options, shrink_seconds)
        return result

    def _fail(self, workload: Made, result: Result, options: dict[str, Any], seconds: float) -> None:
        violation = result.violations[0]
        lines = [f"seed {violation.seed}, step {violation.step}: violated: {violation.invariant}"]
        if violation.is_of_a_run:
            failing = simulate_once(workload, seed=violation.seed, **options)
            finding = investigate(workload, name_of(workload), failing, seconds=seconds)
            lines += [finding.text(), *self._saved(finding)]
        pytest.fail("\n".join(lines), pytrace=False)

    def _saved(self, finding: Finding) -> list[str]:
        if self._folder is None or not finding.reproduced:
            return []
        program, test = finding.save(self._folder)
        return [
            f"see it again: phasm simulate {finding.saved.workload} --replay {program}",
            f"as a regression test: {test}",
        ]


def _read(workload: Made) -> None:
    """Fail the test if the lint finds something in the machine of a workload."""
    machine = make_machine(workload if isinstance(workload, Workload) else workload())
    try:
        assert_deterministic(machine)
    except LintError:
        return  # code without a text, from a shell say: the runs are all there is
    except AssertionError as error:
        pytest.fail(str(error), pytrace=False)


def name_of(workload: Made) -> str:
    """The name under which a workload can be imported, `MODULE:WORKLOAD`."""
    made: Callable[..., Any] = type(workload) if isinstance(workload, Workload) else workload
    module = inspect.getmodule(made)
    return f"{module.__name__ if module else '__main__'}:{getattr(made, '__qualname__', repr(made))}"
