"""The database's side of the simulation: one store, every commit of which is shown to the oracles."""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Sequence
from typing import Protocol

from phasm_fdb.embedded.mutation import has_stamps, stamp_all, versionstamp
from phasm_fdb.embedded.store import CommitRequest, Committed, Store
from phasm_fdb.error_codes import NOT_COMMITTED
from phasm_fdb.errors import FDBError
from phasm_fdb.simulation.commit import Commit, StfRun, rows_of
from phasm_fdb.simulation.file_store import FileStore
from phasm_fdb.simulation.loop import SimulatedLoop
from phasm_fdb.simulation.trace import DATABASE, Trace, column_of


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
        commit = Commit(self._commits, by, stamp, runs, before, after, rows, cleared)  # type: ignore[arg-type]
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
