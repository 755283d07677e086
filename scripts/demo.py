#!/usr/bin/env python3
"""A dentist's booking system is killed in the middle of its payments, again and again, and loses nothing.

The system runs in a process of its own: it takes bookings through a layer, and a worker runs the payments. A payment
provider with books of its own stands for the outside world. The system gets a real SIGKILL while calls are on their
way, is started again, restores, and goes on. At the end state and books are compared.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import uuid
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from layers.dentist_booking.audit import check_books
from layers.dentist_booking.machine import BookingSystem
from layers.dentist_booking.patients import Patients
from layers.dentist_booking.provider import PaymentProvider
from phasm_fdb import DatabaseError, InvariantViolation, Layer, open


class Account:
    """Tells what happens: with colours where rich is installed and there is a terminal, plainly otherwise."""

    def __init__(self) -> None:
        self._write: Callable[[str], None] = print
        self._rich = False
        try:
            from rich.console import Console
        except ImportError:
            return
        self._rich = True
        self._write = Console(highlight=False, soft_wrap=True).print

    def tell(self, text: str, style: str = "") -> None:
        """Print a line."""
        self._write(f"[{style}]{text}[/]" if style and self._rich else text)


def main() -> int:
    options = arguments()
    with tempfile.TemporaryDirectory(prefix="phasm-demo-") as scratch:
        database = options.database or f"embedded:{scratch}/practice.sqlite"
        try:
            return play(Account(), database, Path(scratch) / "provider.sqlite", options)
        except DatabaseError as error:
            print(f"scripts/demo: {error}", file=sys.stderr)
            return 1


def arguments() -> argparse.Namespace:
    """The options; wrong ones end the process with status 2."""
    parser = argparse.ArgumentParser(prog="scripts/demo", description=__doc__.split("\n")[0])
    parser.add_argument(
        "--database", metavar="URL", help="the practice's database; a file in a scratch folder if left out"
    )
    for name, default, what in (
        ("--requests", 120, "how many patients ask"),
        ("--kills", 5, "how often the system is killed"),
        ("--seed", 1, "decides what they ask for and when it is killed"),
    ):
        parser.add_argument(name, type=whole_number, default=default, metavar="N", help=f"{what} (default {default})")
    options = parser.parse_args()
    if options.database == "memory:":
        parser.error("several processes share the database, so it cannot be memory:")
    return options


def whole_number(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number")
    return int(text)


def play(account: Account, database: str, books: Path, options: argparse.Namespace) -> int:
    """The whole story; returns the exit status."""
    account.tell(f"{options.requests} patients ask a dentist for a booking; the database is {database}", "bold")
    rng = random.Random(options.seed)
    practice = f"dentist demo {uuid.uuid4().hex[:8]}"  # a database that is kept may hold those of earlier runs
    patients = Patients(database, books, options.seed, practice)
    arriving = options.requests // (options.kills + 1)
    db, layer = open(database), Layer(BookingSystem(), (practice,))
    for kill in range(1, options.kills + 1):
        open_payments = len(list(layer.pending(db)))
        life = patients.ask(arriving, after_calls(rng.randrange(3, 4 + open_payments + arriving // 2)))
        told = f"{life.count('answered')} requests answered, {life.count('called')} payment calls made"
        if not life.killed:
            account.tell(f"life {kill}: {told}; it ended before it could be killed")
            continue
        account.tell(f"life {kill}: {told}, then SIGKILL", "red")
        account.tell(f"        restore: {in_doubt(db, layer)}")
    life = patients.ask(options.requests - patients.asked)
    account.tell(
        f"last life: {life.count('answered')} requests answered, {life.count('called')} calls, nothing left", "green"
    )
    status = audit(account, db, layer, patients, books)
    if status == 0:
        del db[layer.keyspace.prefix : layer.keyspace.end]
    return status


def after_calls(calls: int) -> Callable[[str], bool]:
    """Says when a clinic has had so many calls done that it may not yet know of."""
    remaining = iter(range(calls - 1, -1, -1))
    return lambda line: line.startswith("called") and next(remaining, None) == 0


def in_doubt(db: Any, layer: Layer) -> str:
    """What a restore finds, in words."""
    actions = Counter(type(tracked.action).__name__ for tracked in layer.restore(db).tracked)
    return ", ".join(f"{number} x {kind}" for kind, number in sorted(actions.items())) or "nothing was in doubt"


def audit(account: Account, db: Any, layer: Layer, patients: Patients, books: Path) -> int:
    """Compare everything that should agree; returns the exit status."""
    view = layer.view(db)
    provider = PaymentProvider(books)
    holds = provider.books()
    requests = dict(view.requests.items())
    checks: dict[str, Callable[[], None]] = {
        "every request answered once": lambda: require(sorted(patients.booked.values()) == sorted(requests)),
        "every payment resolved once": lambda: check_books(view, holds),
        "nothing pending": lambda: require(not list(layer.pending(db))),
        "all invariants hold": lambda: layer.check(db),
    }
    statuses = Counter(request.status.value for request in requests.values())
    account.tell(
        f"{len(patients.booked)} requests accepted, {len(patients.refused)} refused at once; "
        + ", ".join(f"{number} {status}" for status, number in sorted(statuses.items()))
    )
    account.tell(f"{len(holds)} payments, for which the provider was called {provider.calls()} times")
    held = True
    for name, check in checks.items():
        try:
            check()
            account.tell(f"  ok      {name}", "green")
        except InvariantViolation as violation:
            held = False
            account.tell(f"  FAILED  {name}: {violation}", "bold red")
    return 0 if held else 1


def require(holds: bool) -> None:
    if not holds:
        raise InvariantViolation("it does not hold")


if __name__ == "__main__":
    sys.exit(main())
