"""Who writes a group of commits: a thread alone its own, a helper those of several threads or of a loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from itertools import chain, repeat

import pytest

from phasm_fdb.embedded import commit_queue
from phasm_fdb.embedded.commit_queue import Afterwards, CommitQueue, MustWait, QueuedCommit
from phasm_fdb.embedded.mutation import SET
from phasm_fdb.embedded.store import CommitDone, CommitRequest, Committed
from phasm_fdb.errors import FDBError

#: Only a failing test waits so long.
PATIENCE_SECONDS = 30.0


def request(size: int = 1) -> CommitRequest:
    return CommitRequest(None, [], [], [], [], [(SET, b"k", bytes(size))])


class Writer:
    """Decides each group at once, or when the test opens the gate; keeps what it saw."""

    def __init__(self) -> None:
        self.groups: list[int] = []
        self.threads: list[threading.Thread] = []
        self.entered = threading.Semaphore(0)
        self.gate = threading.Semaphore(0)
        self.gated = False
        self.must_wait = False
        self.afterwards: Afterwards = lambda: None

    def __call__(self, group: Sequence[QueuedCommit], may_wait: bool) -> Afterwards:
        if self.must_wait and not may_wait:
            raise MustWait
        self.groups.append(len(group))
        self.threads.append(threading.current_thread())
        if self.gated:
            self.entered.release()
            assert self.gate.acquire(timeout=PATIENCE_SECONDS)
        for order, entry in enumerate(group):
            entry.outcome = Committed(len(self.groups), order)
        return self.afterwards


@pytest.fixture
def writer() -> Writer:
    return Writer()


class Committers:
    """Threads that commit once each."""

    def __init__(self, queue: CommitQueue) -> None:
        self._queue = queue
        self._threads: list[threading.Thread] = []
        self.told: list[Committed | FDBError] = []

    def start(self, waiting: int) -> None:
        """Start one thread; returns when `waiting` commits are in the queue."""
        thread = threading.Thread(target=self._queue.commit, args=(request(), 0, 0, self.told.append))
        thread.start()
        self._threads.append(thread)
        while self._queue.waiting < waiting and thread.is_alive():
            pass

    def join(self) -> None:
        for thread in self._threads:
            thread.join(PATIENCE_SECONDS)
            assert not thread.is_alive()


def test_a_lone_thread_writes_its_own(writer: Writer) -> None:
    queue = CommitQueue(writer, always_waits=True, clock=lambda: 0.0)
    told: list[object] = []
    for _ in range(3):
        queue.commit(request(), 0, 0, told.append)
    assert told == [Committed(1, 0), Committed(2, 0), Committed(3, 0)]
    assert set(writer.threads) == {threading.current_thread()}
    queue.close()


def test_who_comes_while_a_group_is_written_shares_the_next(writer: Writer) -> None:
    writer.gated = True
    queue = CommitQueue(writer, always_waits=True, clock=lambda: 0.0)
    committers = Committers(queue)
    committers.start(0)
    assert writer.entered.acquire(timeout=PATIENCE_SECONDS)
    for number in range(1, 8):
        committers.start(number)
    writer.gate.release()
    assert writer.entered.acquire(timeout=PATIENCE_SECONDS)
    writer.gate.release()
    committers.join()
    assert writer.groups == [1, 7]
    assert sorted(committers.told) == [Committed(1, 0)] + [Committed(2, order) for order in range(7)]  # type: ignore[type-var]
    queue.close()


def test_the_helper_lets_those_that_were_just_served_come_back(writer: Writer) -> None:
    """As the clock has it, writing takes long: then the second group waits until all four are there again."""
    writer.gated = True
    clock = chain([0.0], repeat(2 * PATIENCE_SECONDS))
    queue = CommitQueue(writer, always_waits=True, clock=clock.__next__)
    committers = Committers(queue)
    committers.start(0)
    assert writer.entered.acquire(timeout=PATIENCE_SECONDS)
    for number in range(1, 4):
        committers.start(number)
    writer.gate.release()  # the first is served, three wait, and the helper waits for a fourth
    while not committers.told:
        pass
    committers.start(0)  # it may be in the group, and out of the queue, before this returns
    assert writer.entered.acquire(timeout=PATIENCE_SECONDS)
    writer.gate.release()
    committers.join()
    assert writer.groups == [1, 4]
    queue.close()


def test_the_helper_does_not_wait_for_longer_than_it_is_worth(writer: Writer) -> None:
    """Writing takes no time, by this clock, so nobody is waited for."""
    writer.gated = True
    queue = CommitQueue(writer, always_waits=True, clock=lambda: 0.0)
    committers = Committers(queue)
    committers.start(0)
    assert writer.entered.acquire(timeout=PATIENCE_SECONDS)
    for number in range(1, 4):
        committers.start(number)
    writer.gate.release()
    writer.gate.release()
    committers.join()
    assert writer.groups == [1, 3]
    queue.close()


def test_a_group_is_bounded(writer: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commit_queue, "GROUP_COMMITS", 2)
    writer.gated = True
    queue = CommitQueue(writer, always_waits=True, clock=lambda: 0.0)
    committers = Committers(queue)
    committers.start(0)
    assert writer.entered.acquire(timeout=PATIENCE_SECONDS)
    for number in range(1, 6):
        committers.start(number)
    for _ in range(4):
        writer.gate.release()
    committers.join()
    assert writer.groups == [1, 2, 2, 1]
    queue.close()


def tell(loop: asyncio.AbstractEventLoop, future: asyncio.Future[object]) -> CommitDone:
    """Hands the outcome to a future of the loop, from whatever thread."""

    def done(outcome: Committed | FDBError) -> None:
        loop.call_soon_threadsafe(future.set_result, outcome)

    return done


async def test_an_event_loop_does_not_wait_for_the_disk(writer: Writer) -> None:
    writer.gated = True
    queue = CommitQueue(writer, always_waits=True, clock=lambda: 0.0)
    loop = asyncio.get_running_loop()
    futures = [loop.create_future() for _ in range(3)]
    for future in futures:
        queue.commit(request(), 0, 0, tell(loop, future))
    assert not any(future.done() for future in futures), "commit has returned before anything was written"
    for _ in futures:
        writer.gate.release()
    outcomes = await asyncio.wait_for(asyncio.gather(*futures), PATIENCE_SECONDS)
    assert len(set(outcomes)) == 3
    assert sum(writer.groups) == 3
    assert threading.current_thread() not in writer.threads
    await asyncio.to_thread(queue.close)


async def test_an_event_loop_writes_what_takes_no_waiting(writer: Writer) -> None:
    queue = CommitQueue(writer, always_waits=False)
    told: list[object] = []
    queue.commit(request(), 0, 0, told.append)
    assert told == [Committed(1, 0)]
    assert writer.threads == [threading.current_thread()]
    queue.close()


async def test_an_event_loop_leaves_the_waiting_for_a_lock_to_the_helper(writer: Writer) -> None:
    writer.must_wait = True
    queue = CommitQueue(writer, always_waits=False)
    loop = asyncio.get_running_loop()
    told = loop.create_future()
    queue.commit(request(), 0, 0, tell(loop, told))
    assert await asyncio.wait_for(told, PATIENCE_SECONDS) == Committed(1, 0)
    assert threading.current_thread() not in writer.threads
    await asyncio.to_thread(queue.close)


def test_what_a_loop_commits_while_a_thread_writes_is_written_by_the_helper(writer: Writer) -> None:
    writer.gated = True
    queue = CommitQueue(writer, always_waits=False)
    committers = Committers(queue)
    committers.start(0)
    assert writer.entered.acquire(timeout=PATIENCE_SECONDS)
    told = threading.Event()

    async def commit_in_loop() -> None:
        queue.commit(request(), 0, 0, lambda out: told.set())

    asyncio.run(commit_in_loop())
    writer.gate.release()
    writer.gate.release()
    committers.join()
    assert told.wait(PATIENCE_SECONDS)
    assert writer.groups == [1, 1]
    assert writer.threads[1] is not writer.threads[0]
    queue.close()


def test_an_interrupted_write_is_of_unknown_outcome(writer: Writer) -> None:
    def interrupted(group: Sequence[QueuedCommit], may_wait: bool) -> Afterwards:
        raise KeyboardInterrupt

    queue = CommitQueue(interrupted, always_waits=True, clock=lambda: 0.0)
    told: list[object] = []
    with pytest.raises(KeyboardInterrupt):
        queue.commit(request(), 0, 0, told.append)
    assert told == []
    queue.close()  # nothing is held


def test_close_waits_for_what_is_queued(writer: Writer) -> None:
    writer.gated = True
    queue = CommitQueue(writer, always_waits=True, clock=lambda: 0.0)
    committers = Committers(queue)
    committers.start(0)
    assert writer.entered.acquire(timeout=PATIENCE_SECONDS)
    committers.start(1)
    closing = threading.Thread(target=queue.close)
    closing.start()
    assert committers.told == []
    writer.gate.release()
    writer.gate.release()
    closing.join(PATIENCE_SECONDS)
    assert not closing.is_alive()
    committers.join()
    assert len(committers.told) == 2


def test_what_follows_a_group_may_commit_itself(writer: Writer) -> None:
    """A watch that fires may run anything: it is told when the lead is passed on, before the commit returns."""
    queue = CommitQueue(writer, always_waits=True, clock=lambda: 0.0)
    told: list[object] = []

    def commit_once() -> None:
        writer.afterwards = lambda: None
        queue.commit(request(), 0, 0, told.append)

    writer.afterwards = commit_once
    committing = threading.Thread(target=queue.commit, args=(request(), 0, 0, told.append), daemon=True)
    committing.start()
    committing.join(PATIENCE_SECONDS)
    assert not committing.is_alive(), "it waits for itself"
    assert told == [Committed(2, 0), Committed(1, 0)]
    queue.close()


def test_a_group_whose_writing_fails_is_of_unknown_outcome(writer: Writer, capsys: pytest.CaptureFixture[str]) -> None:
    """The helper has nobody to raise the error to: it prints it, and writes the next group."""

    def failing(group: Sequence[QueuedCommit], may_wait: bool) -> Afterwards:
        if len(group) > 1:
            raise ZeroDivisionError
        return writer(group, may_wait)

    writer.gated = True
    queue = CommitQueue(failing, always_waits=True, clock=lambda: 0.0)
    committers = Committers(queue)
    committers.start(0)
    assert writer.entered.acquire(timeout=PATIENCE_SECONDS)
    committers.start(1)
    committers.start(2)
    writer.gate.release()
    committers.join()
    assert [getattr(outcome, "code", 0) for outcome in committers.told] == [0, 1021, 1021]
    assert "ZeroDivisionError" in capsys.readouterr().err
    committers.start(0)
    writer.gate.release()
    committers.join()
    assert committers.told[-1] == Committed(2, 0)
    queue.close()


def test_one_who_fails_to_be_told_keeps_it_from_nobody(writer: Writer, capsys: pytest.CaptureFixture[str]) -> None:
    queue = CommitQueue(writer, always_waits=True, clock=lambda: 0.0)
    told: list[object] = []

    def fail(outcome: object) -> None:
        raise ZeroDivisionError

    async def commit_in_loop() -> None:
        queue.commit(request(), 0, 0, fail)
        queue.commit(request(), 0, 0, told.append)

    asyncio.run(commit_in_loop())
    queue.close()
    assert len(told) == 1
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_what_comes_while_the_queue_is_closed_is_decided(writer: Writer) -> None:
    queue = CommitQueue(writer, always_waits=True, clock=lambda: 0.0)
    queue.close()
    told: list[object] = []

    async def commit_in_loop() -> None:
        queue.commit(request(), 0, 0, told.append)

    asyncio.run(commit_in_loop())
    assert told == [Committed(1, 0)]
