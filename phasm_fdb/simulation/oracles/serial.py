"""Strict serializability and determinism: every commit is decided again, alone, on the state right before it.

What a transaction decided, under whatever concurrency, has to be what its inputs lead to one after the other on the
state that the commits before it have left. That is strict serializability in commit order. And since the second run is
made by another object of the machine on the same state, it also finds what a machine decides by anything else. In runs
with a journal all inputs are decided a third time in the end, when it is replayed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from phasm_fdb.actions import Actions
from phasm_fdb.database.staged import Staged, decode_count, encode_count
from phasm_fdb.embedded.mutation import put_stamp
from phasm_fdb.errors import InvariantViolation, TransitionError
from phasm_fdb.machine import TrackedActionCompleted
from phasm_fdb.outbox import TransactionStamps
from phasm_fdb.simulation.oracles.oracle import Oracle
from phasm_fdb.simulation.world.commit import Commit, SnapshotReader, StfRun
from phasm_fdb.simulation.world.inspector import Inspector
from phasm_fdb.transition.decision import decide, view_over

#: The sections in which the state lies: rows, and the parts of large values.
STATE = ("s", "b")


class Serial(Oracle):
    """Decides every commit again."""

    def committed(self, commit: Commit) -> None:
        if not commit.runs:
            self._refuse_writes_without_input(commit)
            return
        base = Staged(SnapshotReader(commit.before))
        large: Iterable[str] = self.inspector.context.meta.peek(base).large
        for run in commit.runs:
            large = self._again(base, large, run)
        written = _Written(SnapshotReader(commit.before), commit.stamp)
        base.flush(written)
        self._compare(commit, written)

    def _refuse_writes_without_input(self, commit: Commit) -> None:
        """Only a migration, which writes the meta row too, changes the state without an input."""
        if any(commit.of(section) for section in STATE) and not commit.of("m"):
            raise InvariantViolation(f"serializable: {commit.by} changed the state in a commit without an input")

    def _again(self, base: Staged, large: Iterable[str], run: StfRun) -> Iterable[str]:
        """Decide one run again; gives the fields that may hold large values then, of which `large` did before."""
        view = view_over(Staged(base), self.inspector.keyspace, large, TransactionStamps(run.number))
        try:
            decision = decide(self.inspector.definition, view, run.input)
        except TransitionError as error:
            if type(error) is not type(run.error) or str(error) != str(run.error):
                self._differs(run, f"refused it: {error!r}")
            return view.large
        reply, actions = decision.reply, decision.actions
        if run.error is not None:
            self._differs(run, f"replied {reply!r}")
        if reply != run.reply:
            self._differs(run, f"replied {reply!r}")
        if list(actions) != list(run.actions or ()) or actions.cancelled != _cancelled(run):
            self._differs(run, f"emitted {list(actions)}, and cancelled {actions.cancelled}")
        self._require_trace(view.staged, run, actions)
        view.staged.flush(base)
        return view.large

    def _differs(self, run: StfRun, what: str) -> None:
        first = f"refused it: {run.error!r}" if run.error is not None else f"replied {run.reply!r}"
        emitted = "" if run.actions is None else f", emitted {list(run.actions)}, and cancelled {run.actions.cancelled}"
        raise InvariantViolation(
            f"serializable and deterministic: {run.input!r} was applied, and the machine {first}{emitted}; alone, on "
            f"the state right before that commit, it {what}",
            input=run.input,
        )

    def _require_trace(self, staged: Staged, run: StfRun, actions: Actions) -> None:
        """PHASM's invariant 8: a result leaves a trace in the state, or in what is pending."""
        if not isinstance(run.input, TrackedActionCompleted) or len(actions) or actions.cancelled:
            return
        if not (staged.written() or staged.added() or staged.cleared_ranges()):
            raise InvariantViolation(f"results count: {run.input!r} was applied, and left no trace", input=run.input)

    def _compare(self, commit: Commit, written: _Written) -> None:
        """What was committed is what was decided the second time."""
        actual = {key: value for section in STATE for key, value in commit.of(section).items()}
        for key in {**actual, **written.rows}:
            have, want = commit.after.get(key), written.value(key)
            if have != want:
                self._wrong(commit, key, have, want)
        for begin, end in (*commit.cleared, *written.cleared):
            if not begin.startswith((self.inspector.keyspace.state, self.inspector.keyspace.overflow)):
                continue
            for key, have in _rows(commit, begin, end):
                if have != written.value(key):
                    self._wrong(commit, key, have, written.value(key))

    def _wrong(self, commit: Commit, key: bytes, have: bytes | None, want: bytes | None) -> None:
        inputs = [run.input for run in commit.runs]
        raise InvariantViolation(
            f"serializable and deterministic: {commit.by} applied {inputs}, which left {have!r} in the row {key!r}; "
            f"alone, on the state right before that commit, it leaves {want!r}",
            input=inputs[0] if len(inputs) == 1 else inputs,
        )


def _cancelled(run: StfRun) -> tuple[Any, ...]:
    return () if run.actions is None else run.actions.cancelled


def _rows(commit: Commit, begin: bytes, end: bytes) -> Iterator[tuple[bytes, bytes]]:
    return SnapshotReader(commit.after).rows(begin, end)


class _Written:
    """Takes what a staged view flushes, as a transaction does, and knows what the commit makes of it.

    Args:
        stamp: the commit's versionstamp.
    """

    def __init__(self, before: SnapshotReader, stamp: bytes) -> None:
        self._before = before
        self._stamp = stamp
        self.rows: dict[bytes, bytes | None] = {}
        self.cleared: list[tuple[bytes, bytes]] = []

    def value(self, key: bytes) -> bytes | None:
        """What a row holds afterwards."""
        if key in self.rows:
            return self.rows[key]
        if any(begin <= key < end for begin, end in self.cleared):
            return None
        return self._before.read(key)

    def set(self, key: bytes, value: bytes) -> None:
        self.rows[key] = value

    def clear(self, key: bytes) -> None:
        self.rows[key] = None

    def clear_range(self, begin: bytes, end: bytes) -> None:
        for key in [key for key in self.rows if begin <= key < end]:
            del self.rows[key]
        self.cleared.append((begin, end))

    def add(self, key: bytes, param: bytes) -> None:
        self.rows[key] = encode_count(decode_count(self.value(key)) + decode_count(param))

    def set_versionstamped_key(self, key: bytes, param: bytes) -> None:
        self.rows[put_stamp(key, self._stamp)] = param

    def set_versionstamped_value(self, key: bytes, param: bytes) -> None:
        self.rows[key] = put_stamp(param, self._stamp)

    def add_read_conflict_range(self, begin: bytes, end: bytes) -> None:
        """Alone, nothing conflicts."""

    def add_read_conflict_key(self, key: bytes) -> None:
        """Alone, nothing conflicts."""


class Journaled(Oracle):
    """Replays the journal, in the runs that have one. An empty journal is right only where nothing was decided."""

    def __init__(self, inspector: Inspector) -> None:
        super().__init__(inspector)
        self._anything_decided = False

    def committed(self, commit: Commit) -> None:
        if commit.runs:
            self._anything_decided = True

    def at_rest(self) -> None:
        if not self._anything_decided:
            return
        report = self.inspector.layer.replay(self.inspector.database())
        if not report.same:
            raise InvariantViolation(f"the journal replays to the same: {report.differences[0]}")
