"""Which workers are alive, and who holds which lane: the transactions by which workers agree on it.

A worker has one row, in which it counts heartbeats. Others judge it by their own clocks: a row that has not changed
for a lease time, as the observer measured it, is of a dead worker, and is removed. So clocks need not agree. A lane
whose owner has no row is free to be claimed. A worker that finds its own row gone has been judged dead.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from phasm_fdb import plain
from phasm_fdb.database.ranges import rows
from phasm_fdb.database.staged import Staged
from phasm_fdb.errors import CodecError
from phasm_fdb.keyspace import Keyspace
from phasm_fdb.lease import Lease
from phasm_fdb.resizing import wish
from phasm_fdb.runtime.worker_transaction import WorkerTransaction
from phasm_fdb.transition.context import LayerContext

_PRESENCE: tuple[plain.Kinds, ...] = ((int,), (str,), (list,), (list,))


class Evicted(Exception):
    """The worker was judged dead by another, and what it held is no longer its own."""


@dataclass(frozen=True, slots=True)
class Presence:
    """A worker's row.

    Attributes:
        beat: how many heartbeats it has made.
        name: for people to read.
        actions: the action types that it has handlers for.
        inputs: the input types that its machine knows.
    """

    beat: int
    name: str
    actions: tuple[str, ...]
    inputs: tuple[str, ...]

    def encode(self) -> bytes:
        return plain.to_bytes([self.beat, self.name, self.actions, self.inputs])

    @classmethod
    def decode(cls, data: bytes) -> Presence:
        """What a row says; one that does not decode is of a worker that can do nothing, and will be judged dead."""
        try:
            beat, name, actions, inputs = plain.list_from_bytes(data, _PRESENCE)
        except CodecError:
            return cls(0, "unknown", (), ())
        return cls(beat, name, tuple(map(str, actions)), tuple(map(str, inputs)))

    def next(self) -> Presence:
        return Presence(self.beat + 1, self.name, self.actions, self.inputs)


@dataclass(frozen=True, slots=True)
class Survey:
    """What a worker saw of the others, at its last heartbeat.

    Attributes:
        lanes: how many lanes the layer has.
        workers: the rows of all workers, by session.
        leases: the leases, by lane; a lane without one was never held.
        resizing: the layer is being resized: lanes are to be given back, and none is to be claimed.
    """

    lanes: int
    workers: dict[bytes, bytes]
    leases: dict[int, Lease]
    resizing: bool

    def lease(self, lane: int) -> Lease:
        return self.leases.get(lane) or Lease(lane, 0, None)

    def is_free(self, lane: int) -> bool:
        """Whether nobody holds the lane, or a worker that is gone."""
        owner = self.lease(lane).owner
        return owner is None or owner not in self.workers


def enter(at: WorkerTransaction, session: bytes, presence: Presence) -> None:
    """Write a new worker's row, in a keyspace that is created if nothing is there.

    Raises:
        KeyspaceError: the keyspace is not this machine's, or was upgraded beyond this worker's code.
    """
    at.load_meta()
    at.staged.set(at.context.keyspace.worker(session), presence.encode())
    at.flush()


def leave(at: WorkerTransaction, session: bytes, leases: Iterable[Lease]) -> None:
    """Give back what a worker holds, and remove its row: what is left of it then is as if it had died."""
    for lease in leases:
        hand_over(at, lease, None)
    at.tr.clear(at.context.keyspace.worker(session))


def beat(at: WorkerTransaction, session: bytes, presence: Presence) -> Survey:
    """Write a heartbeat, and look around.

    The look is a snapshot, so that workers' heartbeats do not conflict with each other; whoever acts on it checks
    again what it relies on.

    Raises:
        Evicted: the worker's row is gone.
        KeyspaceError: the layer was upgraded beyond this worker's code.
    """
    keyspace, snapshot = at.context.keyspace, at.tr.snapshot
    own = keyspace.worker(session)
    if at.staged.read(own) is None:
        raise Evicted
    at.tr.set(own, presence.encode())
    lanes = at.context.meta.peek(Staged(snapshot)).lanes
    workers, leases = {}, {}
    for key, value in rows(snapshot, *keyspace.workers()):
        with contextlib.suppress(CodecError):
            workers[keyspace.session_of(key)] = value
    for key, value in rows(snapshot, *keyspace.leases()):
        with contextlib.suppress(CodecError):
            lane = keyspace.lane_of(key)
            if key == keyspace.lease(lane):  # a number can be written in more than one way
                leases[lane] = Lease.decode(lane, value)
    return Survey(lanes, workers, leases, _is_being_resized(at.context, snapshot))


def _is_being_resized(context: LayerContext, reader: Any) -> bool:
    """Whether somebody wishes for another number of lanes; a wish that does not decode is none."""
    try:
        return wish(context, reader) is not None
    except CodecError:
        return False


def evict(at: WorkerTransaction, dead: dict[bytes, bytes]) -> list[bytes]:
    """Remove the rows of workers that have not changed; those that did are alive after all."""
    keyspace = at.context.keyspace
    evicted = [session for session, seen in dead.items() if at.staged.read(keyspace.worker(session)) == seen]
    for session in evicted:
        at.tr.clear(keyspace.worker(session))
    return evicted


def claim(at: WorkerTransaction, session: bytes, lanes: Iterable[int]) -> list[Lease]:
    """Take those of the lanes that are free, or were given to this worker.

    Raises:
        Evicted: the worker's row is gone.
    """
    keyspace, staged = at.context.keyspace, at.staged
    if staged.read(keyspace.worker(session)) is None:
        raise Evicted
    if _is_being_resized(at.context, at.tr):
        return []
    count = at.load_meta().lanes
    claimed = []
    for lane in lanes:
        lease = Lease.decode(lane, staged.read(keyspace.lease(lane)))
        if lane < count and _is_free(keyspace, staged, lease, session):
            lease = lease.taken_by(session)
            staged.set(keyspace.lease(lane), lease.encode())
            claimed.append(lease)
    at.flush()
    return claimed


def _is_free(keyspace: Keyspace, staged: Staged, lease: Lease, session: bytes) -> bool:
    if lease.owner is None or lease.owner == session:
        return True
    return staged.read(keyspace.worker(lease.owner)) is None


def hand_over(at: WorkerTransaction, lease: Lease, to: bytes | None) -> None:
    """Give a lane to the worker `to`, or to whoever claims it; does nothing if it is not held any more."""
    row = at.context.keyspace.lease(lease.lane)
    if at.staged.read(row) == lease.encode():
        at.tr.set(row, (lease.given_back() if to is None else lease.taken_by(to)).encode())
