"""Transactions of a cluster on one event loop: hundreds at once, no thread each, and none that blocks it."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from phasm_fdb import FDBError, Layer, aio, transactional
from phasm_fdb.database.aio import settled
from phasm_fdb.database.ranges import rows
from phasm_fdb.database.transactional import run
from phasm_fdb.database.waiting import wait
from tests.machines import Deposit, Job, Pay, Queue, Wallet

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("no_blocking")]

IN_FLIGHT = 256


async def test_256_transactions_are_in_flight_without_a_thread_each(db: Any, subspace: Any) -> None:
    wallets = Layer(Wallet(), subspace)
    await aio.run(wallets.apply, db, Deposit("first", 1))
    threads, running, most = threading.active_count(), 0, 0

    def deposit(number: int) -> int:
        nonlocal running, most
        running += 1
        most = max(most, running)
        try:
            reply: int = wallets.apply(db, Deposit(f"user {number}", number), request_id=number).reply
            return reply
        finally:
            running -= 1

    replies = await asyncio.gather(*[aio.run(deposit, number) for number in range(IN_FLIGHT)])
    assert replies == list(range(IN_FLIGHT))
    assert most == IN_FLIGHT
    assert threading.active_count() == threads
    balances = await aio.run(lambda: dict(wallets.view(db).balance.items()))
    assert len(balances) == IN_FLIGHT + 1


async def test_conflicting_transactions_are_retried_on_the_loop(db: Any, subspace: Any) -> None:
    wallets = Layer(Wallet(), subspace)
    await asyncio.gather(*[aio.run(wallets.apply, db, Deposit("ann", 1)) for _ in range(20)])
    assert await aio.run(lambda: wallets.view(db).balance["ann"]) == 20


async def test_the_versionstamp_is_there_after_every_commit(db: Any, subspace: Any) -> None:
    queue = Layer(Queue(), subspace)
    await aio.run(queue.apply, db, Job("first"))
    applied = await asyncio.gather(*[aio.run(queue.apply, db, Job(str(number))) for number in range(200)])
    assert len({one.tracked[0].id for one in applied}) == 200
    assert all(one.versionstamp is not None and one.tracked[0].id.is_complete() for one in applied)


@pytest.mark.parametrize("reverse", [False, True])
async def test_ranges_of_many_batches_leave_the_loop_free(db: Any, subspace: Any, reverse: bool) -> None:
    begin, end = subspace.key(), subspace.key() + b"\xff"
    keys = [begin + b"%04d" % number for number in range(500)]

    def write(tr: Any) -> None:
        for key in keys:
            tr.set(key, bytes(1000))

    def read() -> list[bytes]:
        return run(db, lambda tr: [key for key, _ in rows(tr, begin, end, reverse=reverse)])

    await aio.run(run, db, write)
    beats = 0

    async def beat() -> None:
        nonlocal beats
        while True:
            await asyncio.sleep(0)
            beats += 1

    heart = asyncio.create_task(beat())
    results = await asyncio.gather(*[aio.run(read) for _ in range(8)])
    heart.cancel()
    assert all(result == sorted(keys, reverse=reverse) for result in results)
    assert beats > 8


async def test_cancelling_a_task_cancels_its_transaction(db: Any, subspace: Any) -> None:
    transactions = []

    def body(tr: Any) -> None:
        transactions.append(tr)
        tr.set(subspace.pack(("a",)), b"1")
        wait(tr.watch(subspace.pack(("b",))))  # nobody ever writes it

    task = asyncio.create_task(aio.run(run, db, body))
    while not transactions:
        await asyncio.sleep(0)
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    with pytest.raises(FDBError) as caught:
        await settled(transactions[0].get(subspace.pack(("a",))))
    assert caught.value.code == 1025


async def test_many_cancelled_tasks_leave_nothing_and_the_rest_goes_on(
    db: Any, subspace: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    """The binding calls back for cancelled futures too, from its own thread, when the tasks are long gone."""
    wallets = Layer(Wallet(), subspace)
    await aio.run(wallets.apply, db, Deposit("ann", 1))
    tasks = [asyncio.create_task(aio.run(wallets.apply, db, Deposit(f"user {n}", 1))) for n in range(64)]
    await asyncio.sleep(0.001)
    for task in tasks[::2]:
        task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(not isinstance(result, BaseException) for result in results[1::2])
    assert all(
        isinstance(result, asyncio.CancelledError) for result in results[::2] if isinstance(result, BaseException)
    )
    await aio.run(wallets.apply, db, Deposit("ann", 1))
    assert capfd.readouterr().err == ""


async def test_a_cancelled_commit_says_that_it_may_have_happened(db: Any, subspace: Any) -> None:
    key = subspace.pack(("a",))
    task = asyncio.create_task(aio.run(run, db, lambda tr: tr.set(key, b"1")))
    await asyncio.sleep(0)  # a blind write: the first thing it waits for is its commit
    task.cancel()
    with pytest.raises(asyncio.CancelledError) as caught:
        await task
    assert "it may have committed" in caught.value.__notes__[0]


async def test_callbacks_that_wait_for_any_has_left_do_no_harm(db: Any, subspace: Any) -> None:
    import fdb

    tr = db.create_transaction()
    never = tr.watch(subspace.pack(("never",)))

    def other_thread() -> None:
        fdb.Future.wait_for_any(never, tr.get(subspace.pack(("a",))))

    await asyncio.to_thread(other_thread)
    task = asyncio.create_task(aio.run(wait, never))
    await asyncio.sleep(0.01)
    never.cancel()
    with pytest.raises(FDBError) as caught:
        await task
    assert caught.value.code == 1101


async def test_coroutines_await_the_bindings_futures(db: Any, subspace: Any) -> None:
    key = subspace.pack(("n",))
    runs = []

    @transactional
    async def increment(tr: Any) -> int:
        value = await tr.get(key)
        assert value is None or type(value) is bytes
        runs.append(value)
        if len(runs) == 1:  # somebody else is faster
            await aio.run(run, db, lambda other: other.set(key, b"41"))
        number = int(value or b"0") + 1
        tr.set(key, b"%d" % number)
        return number

    assert await increment(db) == 42
    assert runs == [None, b"41"]


async def test_a_machine_refuses_on_a_loop_as_in_a_thread(db: Any, subspace: Any) -> None:
    from tests.machines import InsufficientFunds

    wallets = Layer(Wallet(), subspace)
    with pytest.raises(InsufficientFunds):
        await aio.run(wallets.apply, db, Pay("ann", 1))
    assert await aio.run(lambda: list(wallets.view(db).balance.items())) == []
