"""Threads and an event loop on one SQLite file: what they did must have an order that explains it."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from phasm_fdb.database.transactional import transactional
from phasm_fdb.embedded import open_sqlite
from phasm_fdb.errors import FDBError

ACCOUNTS, MONEY = 5, 100
THREADS, TRANSFERS = 8, 40


@pytest.fixture(params=["normal", "full"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    db = open_sqlite(tmp_path / "db.sqlite", synchronous=request.param)
    yield db
    db.close()


def account(number: int) -> bytes:
    return b"account/%d" % number


def balance(tr: Any, number: int) -> int:
    return int(bytes(tr[account(number)]))


@transactional
def transfer(tr: Any, giver: int, taker: int, amount: int) -> None:
    if giver == taker or balance(tr, giver) < amount:
        return
    tr[account(giver)] = b"%d" % (balance(tr, giver) - amount)
    tr[account(taker)] = b"%d" % (balance(tr, taker) + amount)


@transactional
def audit(tr: Any) -> int:
    """All the money there is, counted in one transaction by a range read."""
    return sum(int(bytes(row.value)) for row in tr.get_range_startswith(b"account/"))


@transactional
def open_accounts(tr: Any) -> None:
    for number in range(ACCOUNTS):
        tr[account(number)] = b"%d" % MONEY


def test_money_is_neither_made_nor_lost(database: Any) -> None:
    open_accounts(database)
    totals: list[int] = []

    def work(seed: int) -> None:
        rng = random.Random(seed)
        for _ in range(TRANSFERS):
            transfer(database, rng.randrange(ACCOUNTS), rng.randrange(ACCOUNTS), rng.randrange(1, 60))
            totals.append(audit(database))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(totals) == THREADS * TRANSFERS
    assert set(totals) == {ACCOUNTS * MONEY}


def test_no_acknowledged_commit_is_invisible_to_a_later_read(database: Any) -> None:
    """Strict serializability: who was told of a commit sees it, in whatever thread it looks."""
    seen: list[bool] = []

    def work(name: bytes) -> None:
        for number in range(TRANSFERS):
            database[name] = b"%d" % number
            seen.append(database[name] == b"%d" % number)

    threads = [threading.Thread(target=work, args=(b"own/%d" % seed,)) for seed in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == THREADS * TRANSFERS
    assert all(seen)


async def test_tasks_of_a_loop_commit_together(database: Any) -> None:
    """Every task increments one counter and its own: none is lost, and the loop's other work goes on."""

    async def work(task: int) -> None:
        tr = database.create_transaction()
        while True:
            try:
                tr.add(b"total", b"\x01\x00")
                tr.set(b"task/%d" % task, b"done")
                await tr.commit()
                return
            except FDBError as error:
                await tr.on_error(error)

    await asyncio.gather(*(work(task) for task in range(100)))
    assert int.from_bytes(database[b"total"], "little") == 100
    assert len(database.get_range_startswith(b"task/")) == 100
