"""`phasm simulate MODULE:WORKLOAD`: run a machine from seeds, under faults; `scripts/simulate.py` is the same."""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer

from phasm_fdb.cli.invocation import one_line_errors, run
from phasm_fdb.errors import PhasmError
from phasm_fdb.simulation.faults import KINDS, parse
from phasm_fdb.simulation.report.coverage import Coverage
from phasm_fdb.simulation.report.page import report as report_of
from phasm_fdb.simulation.report.progress import shown
from phasm_fdb.simulation.report.steps import steps
from phasm_fdb.simulation.run.parallel import Mission, fly
from phasm_fdb.simulation.run.result import Result
from phasm_fdb.simulation.run.runner import simulate
from phasm_fdb.simulation.run.saving import load
from phasm_fdb.simulation.settings import DEFAULT_OPS
from phasm_fdb.simulation.shrinking.triage import investigate
from phasm_fdb.simulation.workload import Scenario, Workload, load_workload

HELD, VIOLATED = 0, 1


class NotImported(PhasmError):
    """A saved run names a workload, and no user did."""


@dataclass(frozen=True)
class Program:
    """What the command is part of.

    Attributes:
        name: how the user calls it, for the command that shows a violation again.
        default_workload: what to simulate where none is named.
        scenarios: workloads that have a short name, and settings of their own.
    """

    name: str
    default_workload: str | None = None
    scenarios: Mapping[str, Scenario] = field(default_factory=dict)

    def scenario(self, name: str) -> Scenario:
        """Find the scenario of a name, or of a workload's."""
        return self.scenarios.get(name, Scenario(name))


@dataclass(frozen=True)
class Output:
    """How to tell what came of it.

    Attributes:
        is_json: as one JSON object.
        report: where to write a report, an HTML file.
        is_shrinking: make the first run that failed as short as it can be.
    """

    is_json: bool
    report: Path | None
    is_shrinking: bool


def register(app: typer.Typer) -> None:
    """Add the command."""
    add(app, Program("phasm simulate"))


def add(app: typer.Typer, program: Program) -> None:
    """Add the command as a part of some program."""
    scenarios = f" Scenarios: {', '.join(program.scenarios)}." if program.scenarios else ""
    epilog = f"Faults: {', '.join(KINDS)}.{scenarios}"
    app.command("simulate", context_settings={"obj": program}, epilog=epilog)(command)


def main(arguments: Sequence[str], program: Program) -> int:
    """Run the command by itself; returns the exit status."""
    app = typer.Typer(add_completion=False)
    add(app, program)
    return run(app, arguments, program.name)


# --------------------------------------------------------------------------------------------- arguments


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise typer.BadParameter(f"{text!r} is not a positive number of seconds")
    return seconds


def _faults(text: str) -> str | dict[str, float]:
    try:
        return parse(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="'--faults'") from None


def command(
    context: typer.Context,
    workload: Annotated[
        str,
        typer.Argument(
            metavar="MODULE:WORKLOAD",
            help="what to simulate, or a scenario; the module may lie in the current folder",
            show_default=False,
        ),
    ] = "",
    seed: Annotated[int, typer.Option(metavar="N", help="the first seed")] = 0,
    seeds: Annotated[int | None, typer.Option(min=1, metavar="N", help="how many seeds; 1 if left out")] = None,
    ops: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="N", help=f"operations of each run; those of the scenario, or {DEFAULT_OPS}, if left out"
        ),
    ] = None,
    time: Annotated[
        Any, typer.Option(parser=_seconds, metavar="SECONDS", help="take new seeds for so long, up to --seeds")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="how many workers; 1 to 4, as the seed says, if left out")
    ] = None,
    faults: Annotated[
        str | None,
        typer.Option(
            metavar="none|default|heavy|KIND=P,...", help="which faults, with their probability at one decision"
        ),
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, metavar="N", help="how many processes")] = 1,
    is_json: Annotated[bool, typer.Option("--json", help="print one JSON object")] = False,
    replay: Annotated[
        Path | None, typer.Option(metavar="FILE", help="play a saved run of it, and tell it in steps")
    ] = None,
    report: Annotated[Path | None, typer.Option(metavar="FILE", help="write a report, one HTML file")] = None,
    no_shrink: Annotated[bool, typer.Option("--no-shrink", help="leave a failing run as long as it is")] = False,
) -> None:
    """Simulate a machine: workers, clients, database and outside world on virtual time, with faults.

    Exit status: 0 everything held, 1 something was violated, 2 wrong usage.
    """
    program: Program = context.obj
    output = Output(is_json, report, not no_shrink)
    with one_line_errors(program.name):
        if replay is not None:
            raise typer.Exit(_replay(replay, workload, program, output))
        name = workload or program.default_workload
        if not name:
            raise typer.BadParameter("name a workload, MODULE:WORKLOAD", ctx=context, param_hint="MODULE:WORKLOAD")
        scenario = program.scenario(name)
        mission = Mission(
            scenario.workload,
            seed=seed,
            seeds=seeds,
            seconds=time,
            ops=ops or scenario.ops,
            workers=workers or scenario.workers,
            faults=_faults(faults) if faults else scenario.faults,
            keep_events=report is not None,
            jobs=jobs,
        )
        made = load_workload(mission.workload)
    again = _again(program, name, {"--ops": ops, "--workers": workers, "--faults": faults})
    raise typer.Exit(_sweep(mission, made, output, again))


def _again(program: Program, name: str, given: Mapping[str, object]) -> str:
    """What to type for the same runs, up to the seed."""
    said = [word for key, value in given.items() if value is not None for word in (key, shlex.quote(str(value)))]
    return " ".join([program.name, shlex.quote(name), *said])


# --------------------------------------------------------------------------------------------- the runs


def _sweep(mission: Mission, workload: Callable[[], Workload], output: Output, again: str) -> int:
    """Run the seeds, and tell how it went; returns the exit status."""
    coverage = Coverage()
    with shown(mission.seeds, is_wanted=not output.is_json) as tell:

        def look(result: Result) -> None:
            tell(result)
            coverage.add(result.events)

        result = fly(mission, look)
    if output.is_json:
        print(json.dumps(result.as_dict()))
    else:
        _print(result, again)
    chosen = _look_closer(mission, workload, output, result)
    if output.report is not None:
        output.report.write_text(report_of(chosen, mission.workload, result, coverage))
    return HELD if result.held else VIOLATED


def _look_closer(mission: Mission, workload: Callable[[], Workload], output: Output, result: Result) -> Result:
    """The run to show in a report: the first that failed, as short as it could be made, else the first seed's."""

    def again(seed: int) -> Result:
        return simulate(
            workload, seed=seed, ops=mission.ops, workers=mission.workers, faults=mission.faults, keep_events=True
        )

    seed = next((one.seed for one in result.violations if one.is_of_a_run), None)
    if seed is None or (output.report is None and output.is_json):
        return again(mission.seed) if output.report else result
    failing = again(seed)
    if not output.is_shrinking or failing.held:  # what depends on more than the seed may hold this time
        return failing
    finding = investigate(workload, mission.workload, failing)
    if not output.is_json:
        print(f"\nseed {seed}: {finding.text()}")
        if finding.reproduced:
            program, test = finding.save()
            print(f"saved as {program}, and as a test in {test}")
    return finding.run if finding.reproduced else failing


def _replay(file: Path, workload: str, program: Program, output: Output) -> int:
    """Play a saved run, and tell it in steps; returns the exit status."""
    saved = load(file)
    own = [scenario.workload for scenario in program.scenarios.values()]
    if not workload and saved.workload not in own:
        raise NotImported(
            f"{file} is a run of {saved.workload}, which is not imported because a file says so: "
            f"{program.name} {shlex.quote(saved.workload)} --replay {shlex.quote(str(file))}"
        )
    result = saved.play(program.scenario(workload or saved.workload).workload, keep_events=True)
    if output.is_json:
        print(json.dumps(result.as_dict()))
    else:
        print(steps(result))
        print(f"digest {result.digest}: " + ("everything held" if result.held else "violated, as you see"))
    if output.report is not None:
        output.report.write_text(report_of(result, saved.workload))
    return HELD if result.held else VIOLATED


def _print(result: Result, again: str) -> None:
    for violation in result.violations:
        print(f"seed {violation.seed}, step {violation.step}: violated: {violation.invariant}")
        if violation.input is not None:
            print(f"  input: {violation.input}")
        print(f"  see it again: {again} --seed {violation.seed}")
    print(
        f"{result.seeds} seeds, {result.operations:,} operations: {result.transitions:,} transitions, "
        f"{result.rejections:,} rejections, {result.crashes:,} crashes, {result.virtual_seconds:,.0f} virtual seconds; "
        + ("everything held" if result.held else f"{len(result.violations)} violated")
    )
    for event, number in sorted(result.counts.items()):
        print(f"  {event:<40} {number:>10,}")
    print(f"digest {result.digest}")
