"""The server process is killed in the middle of work, and started again: what was answered is there, and only once."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import pytest

import phasm_fdb
from phasm_fdb import FDBError, Layer, StaleCompletion, aio
from scripts.local_cluster import LocalCluster
from tests.machines import Deposit, Done, Job, Queue, Wallet

pytestmark = pytest.mark.cluster

P = ParamSpec("P")
T = TypeVar("T")

KILLS = 3
CLIENTS = 8


class Progress:
    """How much is done, so that a kill comes in the middle of work however slow the machine is."""

    def __init__(self) -> None:
        self.done = 0
        self.over = threading.Event()

    def kill_in_the_middle(self, cluster: LocalCluster) -> None:
        """Kill and restart the server, each time after some more work was done; then let the work end."""
        for _ in range(KILLS):
            target = self.done + 40
            while self.done < target:
                time.sleep(0.002)
            cluster.kill()
            cluster.start()
        self.over.set()


def until_answered(call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """What an application does: repeat the request, by its id, until there is an answer."""
    while True:
        try:
            return call(*args, **kwargs)
        except FDBError as error:
            assert error.code in (1031, 1021, 1039), error


def test_no_request_is_lost_or_applied_twice(cluster: LocalCluster) -> None:
    db = phasm_fdb.open(f"fdb:{cluster.cluster_file}")
    wallets = Layer(Wallet(), ("wallets",))
    progress = Progress()
    replies: dict[str, list[int]] = {f"user {number}": [] for number in range(CLIENTS)}
    failures: list[BaseException] = []

    def client(user: str) -> None:
        try:
            while not progress.over.is_set():
                request_id = f"{user} {len(replies[user])}"
                applied = until_answered(wallets.apply, db, Deposit(user, 1), request_id=request_id)
                replies[user].append(applied.reply)
                progress.done += 1
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=client, args=(user,)) for user in replies]
    for thread in threads:
        thread.start()
    try:
        progress.kill_in_the_middle(cluster)
    finally:
        progress.over.set()
        for thread in threads:
            thread.join()
    assert not failures
    for user, answered in replies.items():
        assert answered == list(range(1, len(answered) + 1))
        assert wallets.view(db).balance[user] == len(answered)


async def test_no_action_is_lost_or_completed_twice_on_one_loop(cluster: LocalCluster) -> None:
    db = await aio.run(phasm_fdb.open, f"fdb:{cluster.cluster_file}")
    queue = Layer(Queue(), ("queue",))
    progress = Progress()
    completed: list[str] = []

    async def client(number: int) -> None:
        for job in range(10**6):
            if progress.over.is_set():
                return
            name = f"{number} {job}"
            applied = await aio.run(until_answered, queue.apply, db, Job(name), request_id=name)
            (tracked,) = applied.tracked
            try:
                await aio.run(until_answered, queue.complete, db, tracked.id, Done())
            except StaleCompletion:
                assert progress.done  # an earlier attempt, which got no answer, had completed it
            completed.append(name)
            progress.done += 1

    tasks = [asyncio.create_task(client(number)) for number in range(4 * CLIENTS)]
    try:
        await asyncio.to_thread(progress.kill_in_the_middle, cluster)
    finally:
        progress.over.set()
        await asyncio.gather(*tasks)
    assert len(set(completed)) == len(completed) >= 40 * KILLS
    assert await aio.run(lambda: list(queue.pending(db))) == []
    assert await aio.run(lambda: list(queue.view(db).jobs.items())) == []
