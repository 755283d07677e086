"""The command line of the simulator. It needs nothing but the standard library."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from phasm_fdb.simulation.aftermath import investigate
from phasm_fdb.simulation.coverage import Coverage
from phasm_fdb.simulation.faults import KINDS, parse
from phasm_fdb.simulation.fleet import Mission, fly
from phasm_fdb.simulation.loading import WorkloadNotFound, load_workload
from phasm_fdb.simulation.progress import shown
from phasm_fdb.simulation.report import report
from phasm_fdb.simulation.result import Result
from phasm_fdb.simulation.runner import simulate
from phasm_fdb.simulation.saving import NotAProgram, load
from phasm_fdb.simulation.scenario import Scenario
from phasm_fdb.simulation.settings import DEFAULT_OPS
from phasm_fdb.simulation.steps import steps
from phasm_fdb.simulation.workload import Workload

HELD, VIOLATED, USAGE = 0, 1, 2


class _Usage(ValueError):
    """The arguments are wrong; the message, one line, says how."""


def main(
    arguments: Sequence[str],
    program: str,
    default_workload: str | None = None,
    scenarios: Mapping[str, Scenario] | None = None,
) -> int:
    """Simulate a workload and print how it went.

    Args:
        arguments: what follows the program on the command line.
        program: how the user called it, for the command that shows a violation again.
        default_workload: what to simulate where none is named.
        scenarios: workloads that have a short name, and settings of their own.

    Returns:
        The exit status: 0 everything held, 1 something was violated, 2 the arguments are wrong.
    """
    try:
        scenarios = scenarios or {}
        options = _parser(program, default_workload, scenarios).parse_args(arguments)
        if options.replay is not None:
            return _replay(options, program, scenarios)
        options.workload = options.workload or default_workload
        if options.workload is None:
            raise _Usage("name a workload, MODULE:WORKLOAD (see --help)")
        command = _command(program, options)
        _fill_in(options, scenarios.get(options.workload, Scenario(options.workload)))
        workload = load_workload(options.workload)
    except (_Usage, WorkloadNotFound, NotAProgram) as error:
        print(f"{program}: error: {error}", file=sys.stderr)
        return USAGE
    return _sweep(options, workload, command)


def _command(program: str, options: argparse.Namespace) -> str:
    """What to type for the same runs, up to the seed."""
    given = {"--ops": options.ops, "--workers": options.workers, "--faults": _faults_text(options.faults)}
    said = [word for name, value in given.items() if value is not None for word in (name, shlex.quote(str(value)))]
    return " ".join([program, shlex.quote(options.workload), *said])


def _fill_in(options: argparse.Namespace, scenario: Scenario) -> None:
    """What the command line leaves out is as the scenario has it."""
    options.workload = scenario.workload
    for name in ("ops", "workers", "faults"):
        if getattr(options, name) is None:
            setattr(options, name, getattr(scenario, name))


def _sweep(options: argparse.Namespace, workload: Callable[[], Workload], command: str) -> int:
    """Run the seeds."""
    coverage = Coverage()
    mission = Mission(
        options.workload,
        seed=options.seed,
        seeds=options.seeds,
        seconds=options.time,
        ops=options.ops,
        workers=options.workers,
        faults=options.faults,
        keep_events=options.report is not None,
        jobs=options.jobs,
    )
    with shown(options.seeds, is_wanted=not options.json) as tell:

        def look(result: Result) -> None:
            tell(result)
            coverage.add(result.events)

        result = fly(mission, look)
    if options.json:
        print(json.dumps(result.as_dict()))
    else:
        _print(result, command)
    chosen = _look_closer(options, workload, result)
    if options.report is not None:
        options.report.write_text(report(chosen, options.workload, result, coverage))
    return HELD if result.held else VIOLATED


def _look_closer(options: argparse.Namespace, workload: Callable[[], Workload], result: Result) -> Result:
    """The run to show in a report: the first that failed, as short as it could be made, else the first seed's."""
    seed = next((one.seed for one in result.violations if one.is_of_a_run), None)
    given = {"ops": options.ops, "workers": options.workers, "faults": options.faults}
    wanted = options.report is not None or not options.json
    if seed is None or not wanted:
        return simulate(workload, seed=options.seed, keep_events=True, **given) if options.report else result
    failing = simulate(workload, seed=seed, keep_events=True, **given)
    if options.no_shrink or failing.held:  # what depends on more than the seed may hold this time
        return failing
    finding = investigate(workload, options.workload, failing)
    if not options.json:
        print(f"\nseed {seed}: {finding.text()}")
        if finding.reproduced:
            program, test = finding.save()
            print(f"saved as {program}, and as a test in {test}")
    return finding.run if finding.reproduced else failing


def _replay(options: argparse.Namespace, program: str, scenarios: Mapping[str, Scenario]) -> int:
    """Play a saved run, and tell it in steps."""
    saved = load(options.replay)
    own = [scenario.workload for scenario in scenarios.values()]
    if options.workload is None and saved.workload not in own:
        raise _Usage(
            f"{options.replay} is a run of {saved.workload}, which is not imported because a file says so: "
            f"{program} {shlex.quote(saved.workload)} --replay {shlex.quote(str(options.replay))}"
        )
    named = options.workload or saved.workload
    result = saved.play(scenarios[named].workload if named in scenarios else named, keep_events=True)
    if options.json:
        print(json.dumps(result.as_dict()))
    else:
        print(steps(result))
        print(f"digest {result.digest}: " + ("everything held" if result.held else "violated, as you see"))
    if options.report is not None:
        options.report.write_text(report(result, saved.workload))
    return HELD if result.held else VIOLATED


# --------------------------------------------------------------------------------------------- arguments


class _Parser(argparse.ArgumentParser):
    """argparse, but an error is one line."""

    def error(self, message: str) -> NoReturn:
        raise _Usage(f"{message} (see --help)")


def _parser(program: str, default_workload: str | None, scenarios: Mapping[str, Scenario]) -> argparse.ArgumentParser:
    parser = _Parser(
        prog=program,
        description="Simulate a machine: workers, clients, database and outside world on virtual time, with faults.",
        epilog=f"Faults: {', '.join(KINDS)}.",
    )

    def own_or(value: object) -> str:
        return f"the scenario's, or {value}" if scenarios else str(value)

    parser.add_argument(
        "workload",
        metavar="MODULE:WORKLOAD",
        nargs="?",
        help="what to simulate; the module may lie in the current folder"
        + (f"; or one of {', '.join(scenarios)}" if scenarios else "")
        + _default(default_workload),
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="the first seed" + _default(0))
    parser.add_argument("--seeds", type=_count, metavar="N", help="how many seeds, one after the other" + _default(1))
    parser.add_argument(
        "--ops", type=_count, metavar="N", help="operations of each run" + _default(own_or(DEFAULT_OPS))
    )
    parser.add_argument("--time", type=_seconds, metavar="SECONDS", help="take new seeds for so long, up to --seeds")
    parser.add_argument(
        "--workers", type=_count, metavar="N", help="how many workers" + _default(own_or("as the seed says, 1 to 4"))
    )
    parser.add_argument(
        "--faults",
        type=_faults,
        metavar="none|default|heavy|KIND=P,...",
        help="which faults, with their probability at one decision" + _default(own_or("default")),
    )
    parser.add_argument("--jobs", type=_count, default=1, metavar="N", help="how many processes" + _default(1))
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--replay", type=Path, metavar="FILE", help="play a saved run of it, and tell it in steps")
    parser.add_argument("--report", type=Path, metavar="FILE", help="write a report, one HTML file")
    parser.add_argument("--no-shrink", action="store_true", help="leave a failing run as long as it is")
    return parser


def _faults(text: str) -> str | dict[str, float]:
    try:
        return parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _faults_text(faults: str | Mapping[str, float] | None) -> str | None:
    """As it is given on the command line."""
    return ",".join(f"{kind}={often}" for kind, often in faults.items()) if isinstance(faults, Mapping) else faults


def _default(value: object) -> str:
    return "" if value is None else f" (default {value})"


def _positive(convert: Callable[[str], float], what: str) -> Callable[[str], float]:
    def parse(text: str) -> float:
        try:
            number = convert(text)
        except ValueError:
            number = 0
        if not 0 < number < float("inf"):
            raise argparse.ArgumentTypeError(f"{text!r} is not a positive {what}")
        return number

    return parse


_count = _positive(int, "whole number")
_seconds = _positive(float, "number of seconds")


# ------------------------------------------------------------------------------------------------ output


def _print(result: Result, command: str) -> None:
    for violation in result.violations:
        print(f"seed {violation.seed}, step {violation.step}: violated: {violation.invariant}")
        if violation.input is not None:
            print(f"  input: {violation.input}")
        print(f"  see it again: {command} --seed {violation.seed}")
    print(
        f"{result.seeds} seeds, {result.operations:,} operations: {result.transitions:,} transitions, "
        f"{result.rejections:,} rejections, {result.crashes:,} crashes, {result.virtual_seconds:,.0f} virtual seconds; "
        + ("everything held" if result.held else f"{len(result.violations)} violated")
    )
    for event, number in sorted(result.counts.items()):
        print(f"  {event:<40} {number:>10,}")
    print(f"digest {result.digest}")
