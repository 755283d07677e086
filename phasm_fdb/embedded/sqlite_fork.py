"""What becomes of open database files when the process forks: no connection lives through it.

A forked child inherits what SQLite knows of its open files, but not the POSIX locks that this knowledge is about. A
connection that it opened to such a file would rely on locks that it does not hold, and lose commits
(https://sqlite.org/howtocorrupt.html, section 2.6). So before a fork every connection of the process is taken out of
its pool and closed, and none is made until the fork is over. Then the parent opens new ones as it needs them, and the
child, to which nothing of SQLite has come down, may open the file as any other process may.

Where a connection is not given back in time, or the process is forked by something that does not call these hooks
first, the child is refused that file with an error that says what to do.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
import weakref
from collections.abc import Iterator
from typing import Protocol

Identity = tuple[int, int]
"""Device and number of a file."""

FORK_SECONDS = 10.0
"""How long a fork waits for connections that are in use: longer than a commit waits for another process."""

PAUSE_SECONDS = 0.0005
"""How often those look again who wait for a fork, or whom a fork waits for."""


class Pool(Protocol):
    """The connections of one open database."""

    def suspend(self, deadline: float) -> None:
        """Close all connections, waiting until `deadline` for those in use; make none until `resume`."""
        ...

    def resume(self) -> None:
        """Make connections again: the fork is over, and this is the parent."""
        ...

    def abandon(self) -> Identity | None:
        """Refuse all use: this is the child. Returns the file if a connection to it has come down to it."""
        ...


class Forks:
    """The pools of this process, and what it has inherited from its parent.

    No lock is held over the fork itself: a signal's handler may raise in the middle, and others would wait for ever.

    Attributes:
        inherited: files to which the parent had connections when this process was forked from it.
    """

    def __init__(self) -> None:
        self.inherited: set[Identity] = set()
        self._pools: weakref.WeakSet[Pool] = weakref.WeakSet()
        self._suspended: list[Pool] = []
        self._opening = threading.RLock()
        self._forking: int | None = None
        """The thread that forks; changed with `_opening` held."""

    def add(self, pool: Pool) -> None:
        """Have a pool suspended at forks."""
        self._pools.add(pool)

    def pools(self) -> list[Pool]:
        """The pools that are in use or were."""
        return list(self._pools)

    @contextlib.contextmanager
    def opening(self) -> Iterator[None]:
        """Open a database within this: one at a time, and no fork comes in between."""
        while True:
            with self._opening:
                if self._forking is None:
                    yield
                    return
            time.sleep(PAUSE_SECONDS)

    def before(self) -> None:
        """Suspend all pools: this process is about to fork."""
        deadline = time.monotonic() + FORK_SECONDS
        while time.monotonic() < deadline or self._forking is None:
            with self._opening:
                if self._forking is None:
                    self._forking = threading.get_ident()
                    break
            time.sleep(PAUSE_SECONDS)  # for the fork of another thread
        else:
            return  # the child is refused what is open
        self._suspended = self.pools()
        for pool in self._suspended:
            pool.suspend(deadline)

    def after_in_parent(self) -> None:
        """Let the pools go on."""
        if self._forking != threading.get_ident():
            return
        for pool in self._suspended:
            pool.resume()
        self._suspended = []
        self._forking = None

    def after_in_child(self) -> None:
        """Give up all pools, and note the files whose locks this process would wrongly rely on."""
        self._opening = threading.RLock()  # the old one may be held by a thread that there is not here
        self._suspended = []
        self._forking = None
        for pool in self.pools():
            file = pool.abandon()
            if file is not None:
                self.inherited.add(file)


forks = Forks()

os.register_at_fork(before=forks.before, after_in_parent=forks.after_in_parent, after_in_child=forks.after_in_child)
