"""Four workers in four processes on one SQLite file, while some are killed and some are stopped and continued.

This is the one test of the runtime on real time: processes cannot share a virtual clock. It asserts what must hold
whenever things happen, and bounds on time that are far from what is measured.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgpack
import pytest

import phasm_fdb
from phasm_fdb.database.ranges import rows
from phasm_fdb.lease import Lease
from tests.runtime.machines import Order
from tests.runtime.program import AUDIT, CLAIMED, layer

ROOT = Path(__file__).resolve().parents[2]
WORKERS = 4
KEYS = 10
LOAD_SECONDS = float(os.environ.get("PHASM_TEST_LOAD_SECONDS", "30"))


class Fleet:
    """Worker processes, by number."""

    def __init__(self, url: str, calls: Path) -> None:
        self._url = url
        self._calls = calls
        self.lease_seconds = 2.0
        self._started = 0
        self.processes: dict[int, subprocess.Popen[bytes]] = {}

    def start(self) -> int:
        number = self._started
        self._started += 1
        command = [sys.executable, "-m", "phasm_fdb.cli", "worker", "tests.runtime.program:app"]
        options = ["--database", self._url, "--name", f"w{number}", "--log-level", "error"]
        options += ["--lease-seconds", str(self.lease_seconds)]
        environment = {**os.environ, "PHASM_TEST_CALLS": str(self._calls), "PYTHONPATH": str(ROOT)}
        self.processes[number] = subprocess.Popen(
            [*command, *options], cwd=ROOT, env=environment, stderr=subprocess.PIPE
        )
        return number

    def send(self, number: int, what: signal.Signals) -> None:
        self.processes[number].send_signal(what)

    def kill(self, number: int) -> None:
        process = self.processes.pop(number)
        process.kill()
        process.communicate()

    def stop_all(self) -> list[str]:
        """End all with SIGTERM; what they said."""
        for process in self.processes.values():
            process.terminate()
        said = []
        for process in self.processes.values():
            said.append(process.communicate(timeout=30)[1].decode())
            assert process.returncode == 0, said[-1]
        self.processes.clear()
        return said

    def abandon(self) -> None:
        for process in self.processes.values():
            process.kill()
            process.communicate()


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    made = Fleet(f"embedded:{tmp_path / 'jobs.phasm'}?synchronous=normal", tmp_path / "calls")
    yield made
    made.abandon()


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Any]:
    opened = phasm_fdb.open(f"embedded:{tmp_path / 'jobs.phasm'}?synchronous=normal")
    yield opened
    opened.close()


def until(condition: Callable[[], bool], seconds: float) -> float:
    begun = time.monotonic()
    while not condition():
        assert time.monotonic() - begun < seconds, f"not within {seconds} seconds"
        time.sleep(0.05)
    return time.monotonic() - begun


def holders(db: Any) -> Counter[bytes]:
    """How many lanes each live worker holds."""
    tr = db.create_transaction()
    keys = layer.keyspace
    alive = {keys.session_of(key) for key, _ in rows(tr, *keys.workers())}
    leases = [Lease.decode(keys.lane_of(key), value) for key, value in rows(tr, *keys.leases())]
    return Counter(lease.owner for lease in leases if lease.owner is not None and lease.owner in alive)


def calls_in(path: Path) -> list[tuple[int, str, int, int, int, str]]:
    """When, what, process, action, attempt and idempotency key of each call."""
    read = []
    for line in path.read_text().splitlines():
        when, what, pid, id, number, key = line.split()
        read.append((int(when), what, int(pid), int(id), int(number), key))
    return sorted(read)


def check_calls(path: Path, count: int) -> int:
    """What the outside world saw: each action called, under one key of its own; how many calls were repeats.

    A call after one that was seen to fail is a retry, and no repeat.
    """
    by_id: dict[int, set[str]] = defaultdict(set)
    what_came: Counter[str] = Counter()
    for _, what, _, id, _, key in calls_in(path):
        by_id[id].add(key)
        what_came[what] += 1
    assert set(by_id) == set(range(count)), "at least once"
    assert all(len(keys) == 1 for keys in by_id.values()), "one idempotency key for all attempts"
    assert len({key for keys in by_id.values() for key in keys}) == count, "and of no other action"
    return what_came["begin"] - what_came["fail"] - count


def first_ends(path: Path) -> dict[int, list[int]]:
    """The ids by ordering key, in the order in which their first call ended."""
    order: dict[int, list[int]] = defaultdict(list)
    seen = set()
    for _, what, _, id, _, _ in calls_in(path):
        if what == "end" and id not in seen:
            seen.add(id)
            order[id % KEYS].append(id)
    return order


def results(db: Any) -> dict[int, int]:
    return {id: len(texts) for id, texts in layer.view(db).results.items()}


def check_tokens(db: Any) -> int:
    """In the order of the commits: what was completed was so under its lane's newest token; how many there were."""
    tokens: dict[int, int] = defaultdict(int)
    completed = 0
    for _, value in rows(db.create_transaction(), AUDIT, AUDIT + b"\xff"):
        what, lane, token = msgpack.unpackb(value)
        if what == CLAIMED:
            assert token > tokens[lane], "a token grows with every holder"
            tokens[lane] = token
        else:
            assert token == tokens[lane], f"lane {lane}: completed under token {token}, after {tokens[lane]} was given"
            completed += 1
    return completed


class Blows(threading.Thread):
    """Every second kills one worker, starts another, and freezes a third: for a second, or until its lanes are taken.

    A thread of its own: a process that is frozen in the middle of a commit holds SQLite's lock, and everybody else
    waits until it is continued.
    """

    def __init__(self, fleet: Fleet, seconds: float) -> None:
        super().__init__()
        self._fleet = fleet
        self._seconds = seconds
        self._chance = random.Random(11)
        self._frozen: dict[int, float] = {}
        self.kills = self.freezes = 0

    def run(self) -> None:
        end = time.monotonic() + self._seconds
        while time.monotonic() < end:
            workers = [number for number in sorted(self._fleet.processes) if number not in self._frozen]
            self._fleet.kill(workers.pop(self._chance.randrange(len(workers))))
            self._fleet.start()
            self.kills += 1
            # Every third one for so long that the others take its lanes, and nobody kills it before it wakes up.
            self._freeze(self._chance.choice(workers), 2 * self._fleet.lease_seconds if self.freezes % 3 == 0 else 0.5)
            time.sleep(1.0)
            self._thaw(time.monotonic())
        # The last one wakes up to find that those who have its lanes have not been killed.
        time.sleep(1.0)
        self._freeze(max(self._fleet.processes), 2 * self._fleet.lease_seconds)
        time.sleep(2 * self._fleet.lease_seconds)
        self._thaw(float("inf"))

    def _freeze(self, number: int, seconds: float) -> None:
        self._frozen[number] = time.monotonic() + seconds
        self._fleet.send(number, signal.SIGSTOP)
        self.freezes += 1

    def _thaw(self, now: float) -> None:
        """Continue those that were frozen for long enough."""
        for number in [number for number, until in self._frozen.items() if until <= now]:
            del self._frozen[number]
            self._fleet.send(number, signal.SIGCONT)


def test_nothing_is_lost_doubled_or_reordered_while_workers_die_and_freeze(
    fleet: Fleet, db: Any, tmp_path: Path
) -> None:
    fleet.lease_seconds = 1.0
    for _ in range(WORKERS):
        fleet.start()
    until(lambda: len(holders(db)) == WORKERS, 20)
    blows = Blows(fleet, LOAD_SECONDS)
    blows.start()
    count = 0
    while blows.is_alive():
        layer.apply(db, Order(count, key=f"k{count % KEYS}" if count % 2 == 0 else None), request_id=count)
        count += 1
        time.sleep(0.005)
    until(lambda: not list(layer.pending(db)), 120)
    until(lambda: sorted(holders(db).values()) == [2, 2, 2, 2], 20)
    fleet.stop_all()
    assert results(db) == dict.fromkeys(range(count), 1), "every result was applied exactly once"
    assert layer.dead_letters(db) == []
    assert check_tokens(db) == count, "and under a token that was not stale"
    repeats = check_calls(tmp_path / "calls", count)
    for ids in first_ends(tmp_path / "calls").values():
        keyed = [id for id in ids if id % 2 == 0]
        assert keyed == sorted(keyed), "in order by key"
    print(f"{count} actions, {blows.kills} kills, {blows.freezes} freezes, {repeats} calls were repeats")


def test_the_lanes_of_a_killed_process_are_taken_over_within_two_lease_times(fleet: Fleet, db: Any) -> None:
    numbers = [fleet.start() for _ in range(2)]
    until(lambda: sorted(holders(db).values()) == [4, 4], 20)
    fleet.kill(numbers[0])
    assert until(lambda: list(holders(db).values()) == [8], 20) <= 2 * fleet.lease_seconds


def test_nothing_is_called_twice_where_nothing_crashes(fleet: Fleet, db: Any, tmp_path: Path) -> None:
    for _ in range(2):
        fleet.start()
    until(lambda: len(holders(db)) == 2, 20)
    for id in range(300):
        layer.apply(db, Order(id), request_id=id)
    until(lambda: not list(layer.pending(db)), 30)
    said = fleet.stop_all()
    assert check_calls(tmp_path / "calls", 300) == 0
    assert results(db) == dict.fromkeys(range(300), 1)
    assert all("stopped: " in text and "actions.completed" in text for text in said)
    assert holders(db) == Counter(), "and the lanes were given back"
    assert check_tokens(db) == 300


@pytest.mark.parametrize("app", ["plain", "blocking", "waiting"])
@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_a_worker_at_once_whatever_its_handler_does(
    app: str, second: signal.Signals, db: Any, tmp_path: Path
) -> None:
    layer.apply(db, Order(1))
    url, calls = f"embedded:{tmp_path / 'jobs.phasm'}?synchronous=normal", tmp_path / "calls"
    command = [sys.executable, "-m", "phasm_fdb.cli", "worker", f"tests.runtime.stubborn:{app}", "--database", url]
    environment = {**os.environ, "PHASM_TEST_CALLS": str(calls), "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE)
    try:
        until(calls.exists, 20)
        process.send_signal(signal.SIGTERM)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.5)
        process.send_signal(second)
        assert process.wait(10) == -second
        assert process.stderr is not None
        assert b"was cut short: others take its lanes" in process.stderr.read()
    finally:
        process.kill()
        process.communicate()
