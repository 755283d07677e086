"""`phasm worker`: run the actions of a layer, until told to stop."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from typing import Annotated, Any

import typer

from phasm_fdb.cli.invocation import one_line_errors, opened
from phasm_fdb.cli.loading import load_app
from phasm_fdb.runtime.worker import Worker

SIGNALS = (signal.SIGTERM, signal.SIGINT)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("worker")(command)


def command(
    app: Annotated[str, typer.Argument(metavar="MODULE:APP", help="the App, or Layer; looked for in this folder too")],
    database: Annotated[str, typer.Option(metavar="URL", envvar="PHASM_DATABASE", help="the database")],
    name: Annotated[str | None, typer.Option(help="how logs name this worker")] = None,
    concurrency: Annotated[int | None, typer.Option(min=1, help="how many handlers run at once")] = None,
    lease_seconds: Annotated[
        float | None, typer.Option(min=0.1, help="how soon others take over if this worker dies; the same for all")
    ] = None,
    log_level: Annotated[str, typer.Option(help="debug, info, warning or error")] = "info",
) -> None:
    """Run a worker. SIGTERM or Ctrl-C lets it finish what it runs and give its lanes back; a second ends it at once.

    Exit status: 0 stopped, 2 it cannot run (wrong usage, a newer schema, another machine's keyspace). After a second
    signal it is that of a process which the signal has ended.
    """
    logging.basicConfig(level=log_level.upper(), format="%(asctime)s %(levelname)s %(name)s %(message)s")
    given = {"concurrency": concurrency, "lease_seconds": lease_seconds}
    options = {key: value for key, value in given.items() if value is not None}
    with one_line_errors("phasm worker"):
        loaded = load_app(app)
        with opened(database) as db:
            asyncio.run(_run(loaded.worker(db, name, **options)))


async def _run(worker: Worker) -> None:
    """Run until a signal comes, then drain; a second signal ends the process, whatever is going on in it."""
    loop = asyncio.get_running_loop()
    is_stopping = False

    def on_signal(number: int, _frame: Any) -> None:
        nonlocal is_stopping
        if is_stopping:
            _end(worker.name, number)
        is_stopping = True
        loop.call_soon_threadsafe(worker.stop)

    # Not `loop.add_signal_handler`: a handler that blocks the loop would keep the signals from being heard.
    before = {number: signal.signal(number, on_signal) for number in SIGNALS}
    typer.echo(f"{worker.name} runs; SIGTERM or Ctrl-C stops it", err=True)
    try:
        await worker.run()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    typer.echo(f"{worker.name} stopped: {_summary(worker.counts)}", err=True)


def _end(name: str, number: int) -> None:
    """End this process by a signal: no handler, thread or exit hook can hold it up, and nothing is lost by it."""
    os.write(2, f"{name} was cut short: others take its lanes after the lease time\n".encode())
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


def _summary(counts: dict[str, Any]) -> str:
    return ", ".join(f"{number:,} {name}" for name, number in sorted(counts.items())) or "there was nothing to do"
