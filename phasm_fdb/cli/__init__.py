"""The `phasm` command. Its subcommands are the modules of `phasm_fdb.cli.commands`, one each."""

from __future__ import annotations

import importlib
import pkgutil
import sys

MISSING = "phasm needs the command line's packages: pip install 'phasm-fdb[cli]'"


def main() -> None:
    """Run the command line; exit status 2 with one line if its packages are missing."""
    try:
        import typer
    except ImportError:
        print(MISSING, file=sys.stderr)
        raise SystemExit(2) from None
    from phasm_fdb.cli import commands
    from phasm_fdb.cli.invocation import run

    app = typer.Typer(name="phasm", help="Machines on FoundationDB.", no_args_is_help=True, add_completion=False)
    app.callback()(_no_options)
    for module in sorted(found.name for found in pkgutil.iter_modules(commands.__path__)):
        importlib.import_module(f"{commands.__name__}.{module}").register(app)
    raise SystemExit(run(app, sys.argv[1:], "phasm"))


def _no_options() -> None:
    """Deterministic, crash-recoverable state machines as a FoundationDB layer."""
