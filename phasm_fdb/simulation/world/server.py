"""The database's side of the simulation: one store, every commit of which is shown to the oracles.

The store is in memory, or the embedded file, which is slower and can lose power in the middle of a commit. A power
failure tears the end of SQLite's log: of the commit that was being written a part is there. Every commit that was
acknowledged before has to be in the file when it is opened again, and nothing of the torn one.
"""

from __future__ import annotations

import contextvars
import shutil
import tempfile
from asyncio import events
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from phasm_fdb.embedded.mutation import has_stamps, stamp_all, versionstamp
from phasm_fdb.embedded.sqlite import SqliteStore
from phasm_fdb.embedded.store import CommitDone, CommitRequest, Committed, Snapshot, Store, Watch, WatchFired
from phasm_fdb.error_codes import NOT_COMMITTED
from phasm_fdb.errors import FDBError
from phasm_fdb.simulation.trace import DATABASE, Trace, column_of
from phasm_fdb.simulation.world.commit import Commit, StfRun, rows_of
from phasm_fdb.simulation.world.loop import SimulatedLoop


class Observer(Protocol):
    """Who looks at every commit; raises what it finds wrong."""

    def committed(self, commit: Commit) -> None:
        """A commit was made."""


class Server:
    """The store of a run.

    Args:
        store: what holds the data.
        prefix: of the layer's keys.
        failed: told of what an observer raises: the run is over then.

    Attributes:
        power: counts the times that the machine has had power; what was under way in an earlier one is lost.
        died: called when the power fails.
        observer: looks at every commit, once it is set.
        context: what runs on the server's side runs in; no process is paused or dead there.
    """

    def __init__(
        self, store: Store, loop: SimulatedLoop, trace: Trace, prefix: bytes, failed: Callable[[BaseException], None]
    ) -> None:
        self.store = store
        self.loop = loop
        self.trace = trace
        self.power = 1
        self.died: Callable[[], None] = lambda: None
        self.observer: Observer | None = None
        self.context = contextvars.Context()
        self._prefix = prefix
        self._failed = failed
        self._commits = 0

    def later(self, seconds: float, callback: Callable[[], None]) -> None:
        """Do something after so many virtual seconds, whatever becomes of the process that asked for it."""
        self.loop.call_later(seconds, callback, context=self.context)

    def commit(self, request: CommitRequest, by: str, runs: Sequence[StfRun]) -> Committed | FDBError:
        """Commit, or refuse to."""
        outcomes: list[Committed | FDBError] = []
        before = self.store.snapshot()
        self.store.commit(request, outcomes.append)
        (outcome,) = outcomes
        if isinstance(outcome, FDBError):
            self.trace.note(f"error {outcome.code}", by.encode())
            if outcome.code == NOT_COMMITTED:
                self.trace.event(column_of(by), "conflict", "conflict: what it read has changed", actor=by)
        else:
            self._committed(request, by, runs, before, outcome)
        return outcome

    def lose_power(self, request: CommitRequest, share: float) -> None:
        """Lose power in the middle of a commit: everything dies, and the file is opened again."""
        assert isinstance(self.store, FileStore)
        self.power += 1
        self.died()
        self.store.lose_power(request, share)

    def _committed(
        self, request: CommitRequest, by: str, runs: Sequence[StfRun], before: object, outcome: Committed
    ) -> None:
        stamp = versionstamp(*outcome)
        mutations = request.mutations
        if has_stamps(mutations):
            mutations, _ = stamp_all(mutations, stamp)
        self._commits += 1
        digest = [by.encode(), stamp]
        for _, key, value in mutations:
            digest += (key, value)
        self.trace.note("commit", b"\0".join(digest))
        if self.observer is None:
            return
        after = self.store.snapshot()
        rows, cleared = rows_of(mutations, self._prefix, after)
        counted = [run for run in runs if run.counts]
        failed = [run for run in runs if run.failed]
        commit = Commit(self._commits, by, stamp, counted, before, after, rows, cleared, failed=failed)  # type: ignore[arg-type]
        commit.event = self._tell(commit, len(mutations))
        try:
            self.observer.committed(commit)
        except Exception as error:
            self._failed(error)

    def _tell(self, commit: Commit, writes: int) -> int | None:
        if self.trace.events is None:
            return None
        inputs = [run.input for run in commit.runs if run.error is None]
        sections = ", ".join(sorted(section for section in commit.rows if section))
        return self.trace.event(
            DATABASE,
            "commit",
            f"commit {commit.number} of {commit.by}: {len(inputs)} inputs, {writes} writes ({sections})",
            version=int.from_bytes(commit.stamp[:8], "big"),
            actor=commit.by,
            writes=writes,
            inputs=inputs,
        )


class FileStore:
    """A `Store` in an SQLite file of its own, which is removed with it.

    Args:
        clock: seconds since the epoch, virtual.
        sleep: lets virtual time pass.
    """

    def __init__(self, clock: Callable[[], float], sleep: Callable[[float], None]) -> None:
        self._clock = clock
        self._sleep = sleep
        self._folder = tempfile.TemporaryDirectory(prefix="phasm-simulation-")
        self._lives = 0
        self._store = self._open(Path(self._folder.name) / "0.phasm")

    def _open(self, path: Path) -> SqliteStore:
        # Not synchronous to the disk: what a power failure takes is decided here, and nothing else is lost.
        return SqliteStore(
            path,
            synchronous="normal",
            poll_seconds=None,
            wall_clock=self._clock,
            sleep=self._sleep,
            check=self._lives > 0,
        )

    # --------------------------------------------------------------------------------------- as a store

    def snapshot(self, version: int | None = None, /) -> Snapshot:
        """See `Store.snapshot`."""
        snapshot = self._store.snapshot(version)
        _ = snapshot.version  # it is taken by the first read otherwise, and commits may come before that
        return snapshot

    def commit(self, request: CommitRequest, done: CommitDone, /) -> None:
        """See `Store.commit`; as from a thread without an event loop, where it waits and starts no other thread."""
        running = events._get_running_loop()
        events._set_running_loop(None)
        try:
            self._store.commit(request, done)
        finally:
            events._set_running_loop(running)

    def help_commit(self) -> None:
        """Nothing to help with."""

    def watch(self, key: bytes, value: bytes | None, fired: WatchFired, /) -> Watch:
        """See `Store.watch`."""
        return self._store.watch(key, value, fired)

    def close(self) -> None:
        """Close and remove the file."""
        self._store.close()
        self._folder.cleanup()

    # ----------------------------------------------------------------------------------------- failing

    def lose_power(self, request: CommitRequest, share: float) -> None:
        """Write a part of a commit, and open what a power failure leaves.

        Args:
            share: how much of what the commit appends to the log is written, below 1.
        """
        path = self._store.path
        self._lives += 1
        copy = path.with_name(f"{self._lives}.phasm")
        shutil.copyfile(path, copy)
        shutil.copyfile(_log(path), _log(copy))
        before = _log(path).stat().st_size
        self.commit(request, lambda outcome: None)
        appended = _log(path).stat().st_size - before
        if appended > 0:  # else SQLite has begun its log anew, and the commit is torn off as a whole
            with _log(path).open("rb") as source, _log(copy).open("ab") as torn:
                source.seek(before)
                torn.write(source.read(int(appended * share)))
        self._store.close()
        self._store = self._open(copy)


def _log(path: Path) -> Path:
    return path.with_name(f"{path.name}-wal")
