"""Limits on an action type that hold across all workers of a layer.

A concurrency limit is a set of numbered slots: an action that runs has one, taken by the transaction that starts it
and given back by the one that settles it; a slot of a worker that died is free. A rate limit is a token bucket in
its GCRA form (ITU-T I.371), one row a shard, with the database's versions as the clock (see `VersionClock`): they are
the same for all workers, whatever their own clocks say.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from phasm_fdb import plain
from phasm_fdb.database.ranges import rows
from phasm_fdb.database.staged import Staged
from phasm_fdb.database.versions import VERSIONS_PER_SECOND, read_version
from phasm_fdb.errors import CodecError
from phasm_fdb.keyspace import Keyspace
from phasm_fdb.runtime.version_clock import VersionClock

MAX_SHARDS = 8

#: How soon to look again for a slot that another worker may have given back.
SLOT_POLL_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class Limit:
    """The limits of an action type, across all workers. All of them must be given the same.

    Attributes:
        concurrency: how many actions of the type run at once; None for no bound.
        per_second: how many are started a second; None for no bound.
        burst: how many may be started at once after a pause; as many as a second allows if left out.
    """

    concurrency: int | None = None
    per_second: float | None = None
    burst: int | None = None

    def __post_init__(self) -> None:
        if self.concurrency is not None and self.concurrency < 1:
            raise ValueError(f"concurrency is {self.concurrency}, and must be at least 1")
        if self.per_second is not None and self.per_second <= 0:
            raise ValueError(f"per_second is {self.per_second}, and must be positive")
        if self.burst is not None and (self.burst < 1 or self.per_second is None):
            raise ValueError(f"burst is {self.burst}: it must be at least 1, and goes with per_second")

    @property
    def bucket_size(self) -> int:
        """How many tokens all shards hold together."""
        assert self.per_second is not None
        return self.burst if self.burst is not None else max(1, int(self.per_second))

    @property
    def shards(self) -> int:
        """Over how many rows the bucket is spread, so that it is no hot key."""
        return min(MAX_SHARDS, self.bucket_size)


@dataclass(frozen=True, slots=True)
class Permits:
    """What a type's limits allow now.

    Attributes:
        count: how many actions may be started.
        slots: the row of each one's slot; empty without a concurrency limit.
        retry_seconds: when to ask again for those that may not.
    """

    count: int
    slots: tuple[bytes, ...] = ()
    retry_seconds: float = 0.0


class Limiter:
    """Takes permits, as part of the transaction that starts the actions.

    Args:
        session: whose slots they are.
        chance: spreads workers over slots and shards.
        clock: the time of the token buckets, kept from one transaction to the next.
        runs: whether what is told apart like this runs in this worker: else its slot is left over from a lost lane.
    """

    def __init__(
        self,
        keyspace: Keyspace,
        session: bytes,
        chance: random.Random,
        clock: VersionClock,
        runs: Callable[[bytes], bool],
    ) -> None:
        self._keys = keyspace
        self._session = session
        self._chance = chance
        self._clock = clock
        self._runs = runs

    def take(self, tr: Any, staged: Staged, action_type: str, limit: Limit, holders: Sequence[bytes]) -> Permits:
        """Take permits for actions of a type, for as many of `holders` (what tells them apart) as there are."""
        wanted = len(holders)
        free: list[bytes] = []
        retry = 0.0
        allowed = wanted
        if limit.concurrency is not None:
            free = self._free_slots(tr, staged, action_type, limit.concurrency, holders)
            allowed, retry = len(free), SLOT_POLL_SECONDS
        if limit.per_second is not None and allowed:
            tokens, seconds = self._take_tokens(tr, staged, action_type, limit, allowed)
            if tokens < allowed:
                allowed, retry = tokens, seconds
        for row, holder in zip(free[:allowed], holders, strict=False):
            staged.set(row, plain.to_bytes([self._session, holder]))
        return Permits(allowed, tuple(free[:allowed]), retry)

    def _free_slots(
        self, tr: Any, staged: Staged, action_type: str, count: int, holders: Sequence[bytes]
    ) -> list[bytes]:
        """Rows of free slots. The scan is a snapshot; each slot that is taken is read again, and conflicts.

        A slot that one of the holders has already is free too: an earlier attempt at this transaction did commit.
        """
        alive = set()
        for key, _ in rows(tr.snapshot, *self._keys.workers()):
            with contextlib.suppress(CodecError):
                alive.add(self._keys.session_of(key))
        taken = set()
        for key, value in rows(tr.snapshot, *self._keys.slots(action_type)):
            session, holder = _holder(value)
            is_over = session == self._session and (holder in holders or not self._runs(holder))
            if session in alive and not is_over:
                taken.add(key)
        free = [row for slot in range(count) if (row := self._keys.slot(action_type, slot)) not in taken]
        chosen = self._chance.sample(free, min(len(holders), len(free)))
        staged.read_many(chosen)
        return chosen

    def _take_tokens(self, tr: Any, staged: Staged, action_type: str, limit: Limit, wanted: int) -> tuple[int, float]:
        """How many tokens were taken, and in how many seconds there is another one."""
        assert limit.per_second is not None
        interval = int(VERSIONS_PER_SECOND * limit.shards / limit.per_second)
        tolerance = interval * (max(1, limit.bucket_size // limit.shards) - 1)
        self._clock.saw(read_version(tr))
        taken, soonest = 0, float(interval)
        for shard in self._chance.sample(range(limit.shards), limit.shards):
            row = self._keys.bucket(action_type, shard)
            stored = _arrival(staged.read(row))
            # A bucket is no further ahead of the time than this: if it is, its last user's clock is ahead of this one.
            self._clock.saw(stored - tolerance - interval)
            now = self._clock.now()
            arrival = max(now, stored)
            before = arrival
            while taken < wanted and arrival - now <= tolerance:
                arrival += interval
                taken += 1
            if arrival != before:
                staged.set(row, plain.to_bytes(arrival))
            soonest = min(soonest, arrival - now - tolerance)
            if taken == wanted:
                break
        return taken, max(soonest, 1.0) / VERSIONS_PER_SECOND


def _holder(data: bytes) -> tuple[bytes, bytes]:
    """Whose a slot is, and for which action; nobody's, if that does not decode."""
    try:
        session, holder = plain.list_from_bytes(data, ((bytes,), (bytes,)))
    except CodecError:
        return b"", b""
    return session, holder


def _arrival(data: bytes | None) -> int:
    """What a token bucket holds: the version at which its next token is there; 0 for one that does not decode."""
    if data is None:
        return 0
    try:
        arrival = plain.from_bytes(data)
    except CodecError:
        return 0
    return arrival if type(arrival) is int else 0
