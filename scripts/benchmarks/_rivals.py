"""The nearest equivalent of an order and its action in other packages, on SQLite.

Both leave SQLite's `synchronous` at its default, FULL, and so sync the disk at each commit.
"""

from __future__ import annotations

import importlib.util
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from scripts.benchmarks.measure import count, table


def dbos(folder: Path, orders: int) -> float:
    """A workflow of one step for each order, started all at once as DBOS does it."""
    from dbos import DBOS

    url = f"sqlite:///{folder / 'dbos.sqlite'}"
    DBOS(config={"name": "benchmark", "system_database_url": url, "log_level": "ERROR"})

    @DBOS.step()
    def ship(id: int) -> bool:
        return True

    @DBOS.workflow()
    def order(id: int) -> bool:
        return ship(id)

    DBOS.launch()
    try:
        order(-1)
        started = time.perf_counter()
        for handle in [DBOS.start_workflow(order, id) for id in range(orders)]:
            handle.get_result()
        return orders / (time.perf_counter() - started)
    finally:
        DBOS.destroy()


def eventsourcing(folder: Path, orders: int) -> float:
    """An aggregate for each order: one saved event when it is ordered, one when it is shipped."""
    from eventsourcing.application import Application
    from eventsourcing.domain import Aggregate, event

    class Order(Aggregate):
        @event("Ordered")
        def __init__(self, number: int) -> None:
            self.number = number
            self.shipped = False

        @event("Shipped")
        def ship(self) -> None:
            self.shipped = True

    environment = {"PERSISTENCE_MODULE": "eventsourcing.sqlite", "SQLITE_DBNAME": str(folder / "events.sqlite")}
    application: Any = Application(env={**os.environ, **environment})
    started = time.perf_counter()
    for number in range(orders):
        order = Order(number)
        application.save(order)
        again = application.repository.get(order.id)
        again.ship()
        application.save(again)
    return orders / (time.perf_counter() - started)


RIVALS: dict[str, Callable[[Path, int], float]] = {"dbos": dbos, "eventsourcing": eventsourcing}

#: Ours with the durability of theirs.
SAME_DURABILITY = "SQLite, fsync at each commit"


def compare(folder: Path, orders: int, ours: dict[str, float]) -> None:
    """Measure those that are installed, and print how much faster this package is at the same durability."""
    missing = [name for name in RIVALS if importlib.util.find_spec(name) is None]
    body = [[f"phasm_fdb, {name}", count(measured), ""] for name, measured in ours.items() if "SQLite" in name]
    for name, measure in RIVALS.items():
        if name not in missing:
            measured = measure(folder, orders)
            body.append([f"{name}, fsync at each commit", count(measured), f"{ours[SAME_DURABILITY] / measured:.1f}"])
    table("An order and its action, SQLite", ["package", "orders/s", "phasm_fdb is faster by"], body)
    if missing:
        print(f"\nTo see {' and '.join(missing)} beside these: pip install {' '.join(missing)}")
