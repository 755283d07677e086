"""One process's way to the store, on which faults happen.

It is a store itself, so the transaction class that a process uses is the embedded engine's own. Commits go this way
only; reads are answered by a snapshot. A process that has died gets no answer any more.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from phasm_fdb.embedded.store import CommitDone, CommitRequest, Committed, Snapshot, Watch, WatchFired
from phasm_fdb.error_codes import (
    CLUSTER_VERSION_CHANGED,
    COMMIT_UNKNOWN_RESULT,
    NOT_COMMITTED,
    TOO_MANY_WATCHES,
    TRANSACTION_TIMED_OUT,
    TRANSACTION_TOO_OLD,
)
from phasm_fdb.errors import FDBError
from phasm_fdb.simulation.choices import Site, Value
from phasm_fdb.simulation.faults import Faults
from phasm_fdb.simulation.world.commit import StfRun
from phasm_fdb.simulation.world.process import Process
from phasm_fdb.simulation.world.server import FileStore, Server

#: Faults whose name is the code that a new snapshot is refused with.
_OF_SNAPSHOTS = ("1009", "1037", "1213")
_OF_READS = ("1007", "read slow", "switch", "crash at read")
_OF_COMMITS = (
    *("torn tail", "crash before commit", "1020", "1021 done", "1021 lost", "1021 elsewhere", "1039", "1031"),
    *("commit slow", "answer slow", "crash after commit"),
)
_OF_WATCHES = ("1032", "watch lost", "watch spurious", "watch late")


class Link:
    """A `Store` for one process.

    Args:
        who: whose decisions the faults on this link are.
    """

    def __init__(self, server: Server, process: Process, faults: Faults, who: str) -> None:
        self.server = server
        self.process = process
        self._faults = faults
        self._flights: dict[_Flight, None] = {}
        self._unknown: tuple[str, int] = ("", 0)
        self.runs: Sequence[StfRun] = ()
        self._sites: dict[str, Site | None] = {}
        self._plan(who)

    def _plan(self, who: str) -> None:
        kinds = (*_OF_SNAPSHOTS, *_OF_READS, *_OF_COMMITS, *_OF_WATCHES)
        self._sites = {kind: site for kind in kinds if (site := self._faults.site(who, kind)) is not None}
        if not isinstance(self.server.store, FileStore):
            self._sites.pop("torn tail", None)
        self._snapshot_sites = [(int(kind), self._sites[kind]) for kind in _OF_SNAPSHOTS if kind in self._sites]
        self._commit_faulty = any(kind in self._sites for kind in _OF_COMMITS)
        self.reads_faulty = any(kind in self._sites for kind in _OF_READS)

    def begin(self, who: str) -> None:
        """From now on decide for another actor: the client that uses this link executes another operation."""
        self._unknown = "", 0
        if self._faults.is_played:
            self._plan(who)
        else:
            for site in self._sites.values():
                if site is not None:
                    site.begin(who)

    def decide(self, kind: str) -> Value | None:
        """Whether a kind of fault happens now, and its value."""
        site = self._sites.get(kind)
        return None if site is None else site.decide()

    # --------------------------------------------------------------------------------------------- reads

    def snapshot(self, version: int | None = None, /) -> Snapshot:
        """See `Store.snapshot`."""
        for code, site in self._snapshot_sites:
            if site is not None and site.decide() is not None:
                raise FDBError(code, "injected")
        return self.server.store.snapshot(version)

    # ------------------------------------------------------------------------------------------- commits

    def commit(self, request: CommitRequest, done: CommitDone, /) -> None:
        """See `Store.commit`."""
        if self.process.is_dead:
            return
        if not self._commit_faulty:
            done(self.server.commit(request, self.process.name, self.runs))
            return
        torn = self.decide("torn tail")
        if torn is not None:
            self.server.lose_power(request, float(torn))
            return
        if self.decide("crash before commit") is not None:
            self.process.crash("before a commit")
            return
        self._commit_with_faults(request, done)

    def _commit_with_faults(self, request: CommitRequest, done: CommitDone) -> None:
        flight = _Flight(self, request, self.runs, done)
        kind, value = self._fault_of_commit()
        if kind == "1020":
            flight.answer = FDBError(NOT_COMMITTED, "injected")
            flight.is_lost = True
        elif kind in ("1021 done", "1021 lost", "1021 elsewhere"):
            flight.answer = FDBError(COMMIT_UNKNOWN_RESULT, "injected")
            flight.is_lost = kind == "1021 lost"
            flight.dies = kind == "1021 elsewhere"
        elif kind == "1039":
            flight.answer = FDBError(CLUSTER_VERSION_CHANGED, "injected")
            flight.is_lost = not value
        elif kind == "1031":
            # The client hears at once that its time is up; the commit is still under way.
            self.server.later(float(value), flight.arrive)
            flight.is_answered = True
            done(FDBError(TRANSACTION_TIMED_OUT, "injected"))
            return
        if not flight.dies:
            flight.dies = self.decide("crash after commit") is not None
        flight.go(self.decide("commit slow"), self.decide("answer slow"))

    def _fault_of_commit(self) -> tuple[str, Value]:
        kind, left = self._unknown
        if left:
            self._unknown = kind, left - 1
            return kind, True
        for kind in ("1020", "1021 done", "1021 lost", "1021 elsewhere", "1039", "1031"):
            value = self.decide(kind)
            if value is not None:
                if kind in ("1021 done", "1021 lost"):
                    self._unknown = kind, int(value) - 1
                return kind, value
        return "", None

    def help_commit(self) -> None:
        """Whoever waits here blocks the loop, so what is on its way arrives at once."""
        for flight in list(self._flights):
            flight.arrive()

    # ------------------------------------------------------------------------------------------- watches

    def watch(self, key: bytes, value: bytes | None, fired: WatchFired, /) -> Watch:
        """See `Store.watch`."""
        if self.process.is_dead or self.decide("watch lost") is not None:
            return _NoWatch()
        if self.decide("1032") is not None:
            fired(FDBError(TOO_MANY_WATCHES, "injected"))
            return _NoWatch()
        spurious = self.decide("watch spurious")
        if spurious is not None:
            self.server.later(float(spurious), functools.partial(fired, None))
        late = self.decide("watch late")
        if late is not None:
            return self.server.store.watch(key, value, functools.partial(self._fire_late, float(late), fired))
        return self.server.store.watch(key, value, fired)

    def _fire_late(self, seconds: float, fired: WatchFired, error: FDBError | None) -> None:
        self.server.later(seconds, functools.partial(fired, error))

    def close(self) -> None:
        """The store is the server's to close."""


class _Flight:
    """A commit on its way to the server, and its answer on the way back."""

    __slots__ = (
        "_back",
        "_done",
        "_link",
        "_power",
        "_request",
        "_runs",
        "answer",
        "dies",
        "is_answered",
        "is_lost",
        "outcome",
    )

    def __init__(self, link: Link, request: CommitRequest, runs: Sequence[StfRun], done: CommitDone) -> None:
        self._link = link
        self._request: CommitRequest | None = request
        self._runs = runs
        self._done = done
        self._back = 0.0
        self._power = link.server.power
        self.is_answered = False
        self.answer: FDBError | None = None
        self.outcome: Committed | FDBError | None = None
        self.is_lost = False
        self.dies = False

    def go(self, slow: Value | None, answer_slow: Value | None) -> None:
        """Set out.

        Args:
            slow: seconds to the server; None for at once.
            answer_slow: seconds back.
        """
        if slow is None and answer_slow is None:
            self._commit()
            self._answer()
            return
        self._link._flights[self] = None
        self._back = float(answer_slow or 0.0)
        if slow is None:
            self._reach_server()
        else:
            self._link.server.later(float(slow), self._reach_server)

    def _reach_server(self) -> None:
        self._commit()
        self._link.server.later(self._back, self._answer)

    def arrive(self) -> None:
        """Be committed and answered now."""
        self._commit()
        self._answer()

    def _commit(self) -> None:
        request, self._request = self._request, None
        if request is not None and not self.is_lost and self._power == self._link.server.power:
            self.outcome = self._link.server.commit(request, self._link.process.name, self._runs)

    def _answer(self) -> None:
        self._link._flights.pop(self, None)
        if self.is_answered:
            return
        self.is_answered = True
        process = self._link.process
        if self.dies:
            process.crash("after a commit, before it heard of it")
        outcome: Any = self.answer if self.answer is not None else self.outcome
        if isinstance(self.outcome, FDBError) and self.outcome.code == TRANSACTION_TOO_OLD:
            outcome = self.outcome
        if not process.is_dead:
            self._done(outcome)


class _NoWatch:
    """A watch that never fires."""

    def cancel(self) -> None:
        """There is nothing to forget."""
