"""Plain layer code under asyncio: nothing blocks the loop, cancelling reaches the transaction, errors come through."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from typing import Any

import pytest

from phasm_fdb import FDBError, Layer, aio
from phasm_fdb.database.transactional import run
from phasm_fdb.database.waiting import wait
from tests.machines import Charged, Deposit, InsufficientFunds, Pay, Wallet


class Gate:
    """A future that another thread, or the test, makes ready."""

    def __init__(self) -> None:
        self.opened = threading.Event()
        self.callbacks: list[Any] = []
        self.cancelled = False

    def open(self) -> None:
        self.opened.set()
        for callback in self.callbacks:
            callback(self)

    def is_ready(self) -> bool:
        return self.opened.is_set()

    def on_ready(self, callback: Any) -> None:
        self.callbacks.append(callback)

    def cancel(self) -> None:
        self.cancelled = True

    def wait(self) -> str:
        assert self.opened.is_set(), "would have blocked the loop"
        return "through"


async def test_a_layer_runs_from_asyncio(db: Any, subspace: Any) -> None:
    wallets = Layer(Wallet(), subspace)
    await aio.run(wallets.apply, db, Deposit("ann", 500), request_id="d")
    applied = await aio.run(wallets.apply, db, Pay("ann", 200))
    await aio.run(wallets.complete, db, applied.reply, Charged("x"))
    with pytest.raises(InsufficientFunds):
        await aio.run(wallets.apply, db, Pay("ann", 301))
    assert await aio.run(lambda: wallets.view(db).balance["ann"]) == 300


async def test_many_transactions_on_one_loop_all_commit(db: Any, subspace: Any) -> None:
    wallets = Layer(Wallet(), subspace)
    await asyncio.gather(*[aio.run(wallets.apply, db, Deposit("ann", 1)) for _ in range(30)])
    assert await aio.run(lambda: wallets.view(db).balance["ann"]) == 30


async def test_a_waiting_function_lets_other_tasks_run() -> None:
    gates = [Gate(), Gate()]
    tasks = [asyncio.create_task(aio.run(wait, gate)) for gate in gates]
    await asyncio.sleep(0)
    assert [len(gate.callbacks) for gate in gates] == [1, 1]
    gates[1].open()
    assert await tasks[1] == "through"
    assert not tasks[0].done()
    threading.Thread(target=gates[0].open).start()
    assert await tasks[0] == "through"


async def test_cancelling_the_task_cancels_the_future_and_the_transaction(memory: Any) -> None:
    gate = Gate()
    transactions = []

    def body(tr: Any) -> None:
        transactions.append(tr)
        tr.set(b"a", b"1")
        wait(gate)

    task = asyncio.create_task(aio.run(run, memory, body))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert gate.cancelled
    with pytest.raises(FDBError) as caught:
        transactions[0].get(b"a").wait()
    assert caught.value.code == 1025


async def test_a_wake_up_after_the_task_is_gone_goes_nowhere() -> None:
    gate = Gate()
    task = asyncio.create_task(aio.run(wait, gate))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    gate.open()
    await asyncio.sleep(0)


def test_a_wake_up_after_the_loop_is_closed_goes_nowhere() -> None:
    gate = Gate()

    async def start() -> None:
        task = asyncio.create_task(aio.run(wait, gate))
        await asyncio.sleep(0)
        task.cancel()

    asyncio.run(start())
    gate.open()


async def test_context_variables_are_seen_inside() -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable")
    variable.set("outside")
    assert await aio.run(variable.get) == "outside"


async def test_a_thread_without_a_loop_simply_blocks(memory: Any) -> None:
    def in_thread() -> Any:
        return run(memory, lambda tr: wait(tr.get(b"a")))

    assert await asyncio.to_thread(in_thread) is None
