"""The embedded file as the store of a run: slower than memory, and it can lose power in the middle of a commit.

A power failure tears the end of SQLite's log: of the commit that was being written a part is there. Every commit that
was acknowledged before has to be in the file when it is opened again, and nothing of the torn one.
"""

from __future__ import annotations

import shutil
import tempfile
from asyncio import events
from collections.abc import Callable
from pathlib import Path

from phasm_fdb.embedded.sqlite import SqliteStore
from phasm_fdb.embedded.store import CommitDone, CommitRequest, Snapshot, Watch, WatchFired


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
