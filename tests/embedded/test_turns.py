"""Transactions that lost a commit to each other go on one by one, in the order they came."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import phasm_fdb
from phasm_fdb import aio
from phasm_fdb.database.transactional import Attempts
from phasm_fdb.embedded import Database, open_memory, turns
from phasm_fdb.embedded.sqlite import open_sqlite
from phasm_fdb.embedded.store import Conflict
from phasm_fdb.embedded.turns import TURN_SECONDS
from phasm_fdb.errors import FDBError
from tests.embedded.virtual_time import VirtualTime, code_of

KEY, OTHER = b"k", b"o"


def begin(db: Database, key: bytes = KEY) -> Any:
    """A transaction that has read and written the key."""
    tr = db.create_transaction()
    tr.get(key).wait()
    tr.set(key, b"mine")
    return tr


def again(tr: Any, key: bytes = KEY) -> Any:
    tr.get(key).wait()
    tr.set(key, b"mine")
    return tr


def lose(tr: Any) -> Any:
    """Commit in vain, and return what `on_error` says."""
    with pytest.raises(FDBError) as lost:
        tr.commit().wait()
    assert lost.value.code == 1020
    return tr.on_error(lost.value)


def losers(db: Database, count: int, key: bytes = KEY) -> list[Any]:
    """Transactions that all lose to one other."""
    found = [begin(db, key) for _ in range(count)]
    begin(db, key).commit().wait()
    return found


def test_losers_go_on_in_the_order_they_came(db: Database) -> None:
    first, second, third = losers(db, 3)
    waits = [lose(tr) for tr in (first, second, third)]
    assert [wait.is_ready() for wait in waits] == [True, False, False]
    again(first).commit().wait()
    assert [wait.is_ready() for wait in waits] == [True, True, False]
    again(second).commit().wait()
    assert waits[2].is_ready()
    again(third).commit().wait()
    assert not db._turns._queues


def test_a_range_that_was_read_is_a_key_of_its_own(db: Database) -> None:
    readers = [db.create_transaction() for _ in range(2)]
    for tr in readers:
        list(tr.get_range(b"a", b"m"))
        tr.set(KEY, b"mine")
    db[KEY] = b"other"
    waits = [lose(tr) for tr in readers]
    assert [wait.is_ready() for wait in waits] == [True, False]
    readers[0].commit().wait()
    assert waits[1].is_ready()


@pytest.mark.parametrize("end", ["cancel", "reset", "read only", "other error", "fails"])
def test_a_turn_ends_with_its_transaction_s_wish_to_write(db: Database, end: str) -> None:
    first, second = losers(db, 2)
    lose(first).wait()
    wait = lose(second)
    assert not wait.is_ready()
    if end == "cancel":
        first.cancel()
    elif end == "reset":
        first.reset()
    elif end == "read only":
        first.get(KEY).wait()
        first.commit().wait()
    elif end == "other error":
        first.on_error(1007).wait()
    else:
        assert code_of(first.on_error(2000).wait) == 2000
    assert wait.is_ready()


def test_who_hangs_keeps_the_others_for_a_turn_and_can_still_commit(db: Database, time: VirtualTime) -> None:
    first, second, third = losers(db, 3)
    lose(first).wait()
    waits = [lose(second), lose(third)]
    time.advance(TURN_SECONDS - 0.01)
    assert not waits[0].is_ready()
    time.advance(0.02)
    assert [wait.is_ready() for wait in waits] == [True, False]
    again(first).commit().wait()
    time.advance(TURN_SECONDS)
    assert waits[1].is_ready()
    again(second)
    again(third).commit().wait()
    lose(second)


def test_who_is_dropped_while_it_waits_or_has_the_turn_keeps_nobody_for_longer(db: Database, time: VirtualTime) -> None:
    first, second, third = losers(db, 3)
    lose(first).wait()
    lose(second)
    wait = lose(third)
    del first, second
    time.advance(2 * TURN_SECONDS + 0.01)
    assert wait.is_ready()


def test_queues_that_were_left_behind_do_not_pile_up(
    db: Database, time: VirtualTime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "MANY_QUEUES", 10)
    for number in range(100):
        (tr,) = losers(db, 1, b"%d" % number)
        lose(tr).wait()
        time.advance(TURN_SECONDS)
    assert len(db._turns._queues) <= 10


def test_who_gives_up_waiting_is_passed_over(db: Database) -> None:
    first, second, third = losers(db, 3)
    lose(first).wait()
    given_up, wait = lose(second), lose(third)
    given_up.cancel()
    again(first).commit().wait()
    assert code_of(given_up.wait) == 1101
    assert wait.is_ready()


def test_a_newcomer_does_not_overtake_those_who_wait(db: Database) -> None:
    first, second = losers(db, 2)
    lose(first).wait()
    wait = lose(second)
    newcomer = begin(db)
    late = lose(newcomer)
    again(first).commit().wait()
    again(second).commit().wait()
    assert wait.is_ready()
    assert late.is_ready()
    again(newcomer).commit().wait()


def test_who_does_not_read_the_key_is_not_kept(db: Database) -> None:
    first, second = losers(db, 2)
    lose(first).wait()
    lose(second)
    blind = db.create_transaction()
    blind.set(KEY, b"blind")
    blind.commit().wait()
    begin(db, OTHER).commit().wait()
    snapshot = db.create_transaction()
    snapshot.snapshot.get(KEY).wait()
    snapshot.set(OTHER, b"x")
    snapshot.commit().wait()


def test_one_loser_alone_keeps_nobody(db: Database) -> None:
    """So programs that play transactions against each other by hand see what a cluster answers."""
    (first,) = losers(db, 1)
    lose(first).wait()
    again(first)
    begin(db).commit().wait()
    lose(first)


def test_who_loses_in_its_own_turn_keeps_it_and_waits_at_random(db: Database, time: VirtualTime) -> None:
    first, second = losers(db, 2)
    lose(first).wait()
    wait = lose(second)
    again(first)
    db[KEY] = b"blind"
    began = time.now
    lose(first).wait()
    assert 0 < time.now - began <= 0.01
    assert not wait.is_ready()
    again(first).commit().wait()
    assert wait.is_ready()


def test_a_transaction_has_one_turn_at_a_time(db: Database) -> None:
    """Two that want each other's key do not wait for each other."""
    one, other = losers(db, 2)
    ones = losers(db, 2, OTHER)
    lose(one).wait()
    wait = lose(other)
    lose(ones[0]).wait()
    waits = lose(ones[1])
    again(one)
    again(one, OTHER)
    again(ones[0], OTHER)
    again(ones[0], KEY)
    one.commit().wait()
    moved = lose(ones[0])  # to the queue of the other key, so its own turn has passed
    assert wait.is_ready()
    assert waits.is_ready()
    again(other).commit().wait()
    assert moved.is_ready()


def test_a_timeout_ends_the_waiting(db: Database, time: VirtualTime) -> None:
    first, second = losers(db, 2)
    second.options.set_timeout(100)
    lose(first).wait()
    wait = lose(second)
    time.advance(0.1)
    assert code_of(wait.wait) == 1031


def test_a_thread_that_blocks_where_time_is_injected_goes_on(db: Database, time: VirtualTime) -> None:
    first, second = losers(db, 2)
    lose(first).wait()
    began = time.now
    lose(second).wait()
    assert time.now - began == TURN_SECONDS


def test_an_error_that_was_not_lost_by_a_key_waits_at_random(db: Database, time: VirtualTime) -> None:
    tr = begin(db)
    began = time.now
    tr.on_error(1020).wait()
    assert 0 < time.now - began <= 0.01
    assert not db._turns._queues


def test_a_conflict_names_its_key_and_is_an_error_like_others() -> None:
    import pickle

    lost = pickle.loads(pickle.dumps(Conflict(KEY)))
    assert type(lost) is FDBError
    assert lost.code == 1020


def count_up(db: Any, report: Callable[[Attempts], None]) -> Callable[[], None]:
    """Adds one to a number, by reading and writing it."""

    @phasm_fdb.transactional(report=report)
    def add(tr: Any) -> None:
        value = tr.get(KEY).value
        tr.set(KEY, b"%d" % (int(value or 0) + 1))

    return lambda: add(db)


@pytest.mark.parametrize("tasks", [10, 100])
async def test_more_tasks_make_no_more_attempts(tmp_path: Path, tasks: int) -> None:
    """Each commit takes its one attempt, and at most one in vain before it."""
    db = open_sqlite(tmp_path / "hot.phasm", poll_seconds=None)
    reports: list[Attempts] = []
    add = count_up(db, reports.append)
    rounds = 3

    async def client() -> None:
        for _ in range(rounds):
            await aio.run(add)

    await asyncio.gather(*(client() for _ in range(tasks)))
    assert db[KEY] == b"%d" % (tasks * rounds)
    assert sum(report.number for report in reports) <= 2.5 * tasks * rounds
    await asyncio.to_thread(db.close)


def test_threads_count_up_together() -> None:
    db = open_memory()
    reports: list[Attempts] = []
    add = count_up(db, reports.append)
    threads, rounds = 16, 20

    def client() -> None:
        for _ in range(rounds):
            add()

    started = [threading.Thread(target=client) for _ in range(threads)]
    for thread in started:
        thread.start()
    for thread in started:
        thread.join()
    assert db[KEY] == b"%d" % (threads * rounds)


async def test_a_task_that_is_cancelled_in_the_queue_leaves_it(tmp_path: Path) -> None:
    db = open_sqlite(tmp_path / "hot.phasm", poll_seconds=None)
    add = count_up(db, lambda attempts: None)
    chance = random.Random(1)
    tasks = [asyncio.create_task(aio.run(add)) for _ in range(40)]
    await asyncio.sleep(0)
    cancelled = chance.sample(tasks, 15)
    for task in cancelled:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert int(db[KEY]) >= len(tasks) - len(cancelled)
    await asyncio.to_thread(db.close)


def test_who_is_interrupted_while_it_waits_leaves_the_queue(time: VirtualTime) -> None:
    def interrupted(seconds: float) -> None:
        raise KeyboardInterrupt

    db = open_memory(clock=time.clock, sleep=interrupted, call_later=time.call_later)
    first, second = losers(db, 2)
    lose(first)
    lose(second)

    def work(tr: Any) -> None:
        again(tr)
        begin(db, OTHER).commit().wait()

    with pytest.raises(KeyboardInterrupt):
        phasm_fdb.transactional(work)(db)
    (queue,) = db._turns._queues.values()
    assert len(queue.waiting) == 1
