"""Fencing: what is done for a lane is done by the worker that holds it, under its token; and tokens only grow."""

from __future__ import annotations

from phasm_fdb.errors import InvariantViolation
from phasm_fdb.keys import pack_element, unpack
from phasm_fdb.lease import Lease
from phasm_fdb.machine import TrackedActionCompleted
from phasm_fdb.outbox import IdRow
from phasm_fdb.simulation.oracles.oracle import Oracle
from phasm_fdb.simulation.world.commit import Commit
from phasm_fdb.simulation.world.inspector import Inspector


class Fencing(Oracle):
    """Follows who holds which lane."""

    def __init__(self, inspector: Inspector) -> None:
        super().__init__(inspector)
        self._process_of: dict[bytes, str] = {}
        self._tokens: dict[int, int] = {}

    def committed(self, commit: Commit) -> None:
        if not commit.by.startswith("worker"):
            return
        for lane, what in self._worked_on(commit).items():
            self._require_held(commit, lane, what)
        for row, value in commit.of("w").items():
            if value is not None:
                self._process_of.setdefault(self.inspector.keyspace.session_of(row), commit.by)
        for row, value in commit.of("l").items():
            self._follow(self.inspector.keyspace.lane_of(row), value)

    def _worked_on(self, commit: Commit) -> dict[int, str]:
        """The lanes for which a worker did something, and what."""
        lanes: dict[int, str] = {}
        keys = self.inspector.keyspace
        for row, value in commit.of("q").items():
            if value is None and row not in commit.moved:
                lanes[_first(row[len(keys.all_inbox) :])] = "an input was applied"
        progress = len(keys.progress(0)[0]) - len(pack_element(0))
        for row, value in commit.of("n").items():
            if value is not None and row not in commit.moved:
                lanes[_first(row[progress:])] = "an attempt was noted"
        for run in commit.runs:
            if run.error is None and isinstance(run.input, TrackedActionCompleted):
                place = commit.before.get(keys.id_row(pack_element(run.input.id)))
                if place is not None:
                    lanes[IdRow.decode(place).lane] = f"the result of {run.input.id!r} was applied"
        return lanes

    def _require_held(self, commit: Commit, lane: int, what: str) -> None:
        lease = Lease.decode(lane, commit.before.get(self.inspector.keyspace.lease(lane)))
        holder = None if lease.owner is None else self._process_of.get(lease.owner)
        if holder != commit.by:
            raise InvariantViolation(
                f"fencing: {what} in lane {lane} by {commit.by}, and {holder or 'nobody'} holds the lane, under the "
                f"token {lease.token}"
            )

    def _follow(self, lane: int, value: bytes | None) -> None:
        if value is None:
            return
        token = Lease.decode(lane, value).token
        before = self._tokens.get(lane, 0)
        if token < before:
            raise InvariantViolation(f"fencing: the token of lane {lane} went from {before} back to {token}")
        self._tokens[lane] = token


def _first(packed: bytes) -> int:
    return int(unpack(packed)[0])
