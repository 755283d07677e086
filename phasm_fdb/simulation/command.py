"""The command line of the simulator. It needs nothing but the standard library."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from phasm_fdb.simulation.loading import WorkloadNotFound, load_workload
from phasm_fdb.simulation.result import Result
from phasm_fdb.simulation.sweep import sweep

HELD, VIOLATED, USAGE = 0, 1, 2
DEFAULT_OPS = 1000


class _Usage(ValueError):
    """The arguments are wrong; the message, one line, says how."""


def main(arguments: Sequence[str], program: str, default_workload: str | None = None) -> int:
    """Simulate a workload and print how it went.

    Args:
        arguments: what follows the program on the command line.
        program: how the user called it, for the command that shows a violation again.
        default_workload: what to simulate where none is named.

    Returns:
        The exit status: 0 everything held, 1 something was violated, 2 the arguments are wrong.
    """
    try:
        options = _parser(program, default_workload).parse_args(arguments)
        workload = load_workload(options.workload)
    except (_Usage, WorkloadNotFound) as error:
        print(f"{program}: error: {error}", file=sys.stderr)
        return USAGE
    result = sweep(workload, seed=options.seed, seeds=options.seeds, ops=options.ops, seconds=options.time)
    if options.json:
        print(json.dumps(result.as_dict()))
    else:
        _print(result, f"{program} {shlex.quote(options.workload)}", options.ops)
    return HELD if result.held else VIOLATED


# --------------------------------------------------------------------------------------------- arguments


class _Parser(argparse.ArgumentParser):
    """argparse, but an error is one line."""

    def error(self, message: str) -> NoReturn:
        raise _Usage(f"{message} (see --help)")


def _parser(program: str, default_workload: str | None) -> argparse.ArgumentParser:
    parser = _Parser(prog=program, description="Simulate a machine with random inputs, results and crashes.")
    parser.add_argument(
        "workload",
        metavar="MODULE:WORKLOAD",
        nargs="?" if default_workload else None,
        default=default_workload,
        help="what to simulate; the module may lie in the current folder" + _default(default_workload),
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="the first seed" + _default(0))
    parser.add_argument("--seeds", type=_count, metavar="N", help="how many seeds, one after the other" + _default(1))
    parser.add_argument(
        "--ops", type=_count, default=DEFAULT_OPS, metavar="N", help="operations of each run" + _default(DEFAULT_OPS)
    )
    parser.add_argument("--time", type=_seconds, metavar="SECONDS", help="take new seeds for so long, up to --seeds")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser


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


def _print(result: Result, command: str, ops: int) -> None:
    for violation in result.violations:
        print(f"seed {violation.seed}, step {violation.step}: violated: {violation.invariant}")
        if violation.input is not None:
            print(f"  input: {violation.input}")
        print(f"  see it again: {command} --seed {violation.seed} --ops {ops}")
    print(
        f"{result.seeds} seeds, {result.operations:,} operations: {result.transitions:,} transitions, "
        f"{result.rejections:,} rejections, {result.crashes:,} crashes; "
        + ("everything held" if result.held else f"{len(result.violations)} violated")
    )
    for event, number in sorted(result.counts.items()):
        print(f"  {event:<40} {number:>10,}")
    print(f"digest {result.digest}")
