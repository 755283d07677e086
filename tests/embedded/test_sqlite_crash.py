"""Four processes write to one file and are killed, again and again, in the middle of whatever they are doing.

A kill comes when a random number of commits has been acknowledged, not when a time has passed, so a slow
machine does no less. Most kills take one process and leave the others running; some take all four, and the
next process to open the file has to recover it.
"""

from __future__ import annotations

import multiprocessing
import random
import struct
from collections.abc import Iterator
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Literal

import pytest

from phasm_fdb.embedded import open_sqlite
from tests.embedded.crash_writer import COPIES, LOG, TOTAL, copy_key, number, run

WRITERS = 4
KILLS = 200
#: Only a failing run waits so long for the next acknowledgement.
PATIENCE_SECONDS = 60.0


class Fleet:
    """The four processes, and what they have said."""

    def __init__(self, path: Path, synchronous: Literal["full", "normal"]) -> None:
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(["tests.embedded.crash_writer"])
        self._path = path
        self._synchronous = synchronous
        self._processes: dict[int, BaseProcess] = {}
        self._pipes: dict[int, Connection] = {}
        self.acknowledged = dict.fromkeys(range(WRITERS), 0)
        #: (writer, number) -> version, of every commit that was acknowledged.
        self.versions: dict[tuple[int, int], int] = {}
        self.kills = 0

    def start(self, writer: int) -> None:
        receiver, sender = self._context.Pipe(duplex=False)
        arguments = (str(self._path), writer, sender, self._synchronous)
        process = self._context.Process(target=run, args=arguments, daemon=True)
        process.start()
        sender.close()
        self._processes[writer], self._pipes[writer] = process, receiver

    def listen(self, commits: int) -> None:
        """Wait until so many more commits have been acknowledged, by whichever processes."""
        until = len(self.versions) + commits
        while len(self.versions) < until:
            ready = wait(list(self._pipes.values()), PATIENCE_SECONDS)
            assert ready, "no process commits any more"
            for pipe in ready:
                assert isinstance(pipe, Connection)
                self._hear(pipe)

    def kill(self, writer: int) -> None:
        """SIGKILL, then hear what it had managed to say."""
        process, pipe = self._processes.pop(writer), self._pipes.pop(writer)
        process.kill()
        process.join()
        self.kills += 1
        try:
            while True:
                self._hear(pipe)
        except EOFError:
            pipe.close()

    def stop(self) -> None:
        for process in self._processes.values():
            process.kill()
            process.join()
        for pipe in self._pipes.values():
            pipe.close()

    def _hear(self, pipe: Connection) -> None:
        writer, count, version = pipe.recv()
        assert count > self.acknowledged[writer], "an acknowledged commit was lost"
        self.acknowledged[writer] = count
        self.versions[writer, count] = version


@pytest.fixture(params=["normal", "full"])
def fleet(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Fleet]:
    path = tmp_path / "crash.sqlite"
    open_sqlite(path).close()
    fleet = Fleet(path, request.param)
    for writer in range(WRITERS):
        fleet.start(writer)
    yield fleet
    fleet.stop()


def check(path: Path, fleet: Fleet) -> int:
    """The file holds every acknowledged commit, none in part, each once. Returns its read version."""
    db = open_sqlite(path, check=True)
    try:
        tr = db.create_transaction()
        counts = {writer: number(tr.get(copy_key(writer, 0))) for writer in range(WRITERS)}
        for writer, count in counts.items():
            assert fleet.acknowledged[writer] <= count, "an acknowledged commit was lost"
            for copy in range(1, COPIES):
                assert number(tr.get(copy_key(writer, copy))) == count, "a commit is there in part"
        assert number(tr.get(TOTAL)) == sum(counts.values()), "two commits overwrote each other"
        logged = list(_log(tr))
        assert sorted(row[:2] for row in logged) == [
            (writer, count) for writer in range(WRITERS) for count in range(1, counts[writer] + 1)
        ]
        for writer, count, version in logged:
            # A commit whose process died before it could say so is there as well, and in nobody's list.
            assert fleet.versions.get((writer, count), version) == version
        for writer in range(WRITERS):
            mine = [row[1] for row in logged if row[0] == writer]
            assert mine == sorted(mine), "versions went back"
        newest: int = tr.get_read_version().wait()
        assert newest >= max(fleet.versions.values())
        return newest
    finally:
        db.close()


def _log(tr: Any) -> Iterator[tuple[int, int, int]]:
    """(writer, number, version) of each row, in the order of the versionstamps."""
    for row in tr.get_range_startswith(LOG):
        writer, count = struct.unpack("<II", bytes(row.value))
        version, _ = struct.unpack(">QH", bytes(row.key)[len(LOG) :])
        yield writer, count, version


def test_no_kill_loses_a_commit_or_leaves_half_of_one(fleet: Fleet, tmp_path: Path) -> None:
    rng = random.Random(20)
    path = tmp_path / "crash.sqlite"
    version = 0
    while fleet.kills < KILLS // 2:
        fleet.listen(rng.randrange(1, 40))
        if rng.random() < 0.9:
            victims = [rng.randrange(WRITERS)]
        else:
            victims = list(range(WRITERS))
        for writer in victims:
            fleet.kill(writer)
        if len(victims) == WRITERS:
            now = check(path, fleet)
            assert now > version, "versions went back"
            version = now
        for writer in victims:
            fleet.start(writer)
    for writer in range(WRITERS):
        fleet.kill(writer)
    check(path, fleet)
    assert fleet.kills >= KILLS // 2
    assert all(fleet.acknowledged.values()), "every process had its commits"
