"""Reading what has come into a lane."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from fdb.tuple import Versionstamp

from phasm_fdb.database.ranges import rows
from phasm_fdb.database.waiting import wait
from phasm_fdb.errors import CodecError
from phasm_fdb.keyspace import Keyspace, stamp_of
from phasm_fdb.lease import Lease
from phasm_fdb.records import Progress, Record, tag_of
from phasm_fdb.runtime.lane import Lane
from phasm_fdb.runtime.work import Work
from phasm_fdb.runtime.worker_transaction import WorkerTransaction

PAGE = 500
#: Each time a lane is read, so many actions that wait for their next attempt are looked for: they may be cancelled.
WAITING_LOOKED_FOR = 10


@dataclass(slots=True)
class Page:
    """What one transaction read of a lane.

    Attributes:
        fresh: works behind the lane's cursor.
        cursor: where to read on.
        at_end: there was nothing behind them.
        again: works that were read a second time, and where to read on; None if there was no need for any.
        gone: works that waited in the window, and are out of the lane.
        damaged: the rows that do not decode, each with what is wrong with it.
        next_timer_ms: when the first timer is due.
        has_inputs: whether the inbox holds anything.
        watch: fires when something comes into the lane after this.
        version: the read version.
    """

    fresh: list[Work] = field(default_factory=list)
    cursor: bytes = b""
    at_end: bool = True
    again: tuple[list[Work], bytes | None] | None = None
    gone: list[Work] = field(default_factory=list)
    damaged: dict[bytes, CodecError] = field(default_factory=dict)
    next_timer_ms: int | None = None
    has_inputs: bool = False
    watch: Any = None
    version: int = 0


def read_pages(at: WorkerTransaction, lanes: Sequence[tuple[Lane, bool]]) -> list[Page]:
    """Read the next page of each lane, and what waits in its timers and inbox, at one version.

    Everything is asked for before anything is waited for, so this takes one round trip however many lanes there are.
    Reads are snapshots: whatever is done about a row reads it again.

    Args:
        lanes: the lanes, each with whether there is room for more of its works.
    """
    asked = [_Asked(at, lane, wanted) for lane, wanted in lanes]
    dead = at.context.outbox.stillborn(at.tr.snapshot)
    version = wait(at.tr.get_read_version())
    return [one.page(dead, version) for one in asked]


class _Asked:
    """The reads of one lane, under way."""

    def __init__(self, at: WorkerTransaction, lane: Lane, wanted: bool) -> None:
        reader, keys, number = at.tr.snapshot, at.context.keyspace, lane.lease.lane
        self._keys = keys
        self._lane = lane
        self._fresh = _Span(keys, reader, lane, lane.cursor, lane.end) if wanted else None
        again = lane.window.second_look()
        self._again = None if again is None else _Span(keys, reader, lane, again, lane.cursor)
        self._waiting = [(work, reader.get(work.row)) for work in lane.window.asleep(WAITING_LOOKED_FOR)]
        self._timers = rows(reader, *keys.timers(number), limit=1)
        self._inbox = rows(reader, *keys.inbox(number), limit=1)
        self._watch = at.tr.watch(keys.signal(number)) if lane.watch is None else None

    def page(self, dead: set[Versionstamp], version: int) -> Page:
        """What was read, once it is there."""
        page = Page(cursor=self._lane.cursor, at_end=self._lane.at_end, watch=self._watch, version=version)
        if self._fresh is not None:
            page.fresh, after = self._fresh.works(dead, page.damaged)
            page.at_end = after is None
            page.cursor = after or self._fresh.reached
        page.again = None if self._again is None else self._again.works(dead, page.damaged)
        page.gone = [work for work, row in self._waiting if wait(row) is None or work.stamp in dead]
        for key, _ in self._timers:
            try:
                page.next_timer_ms = _whole(self._keys.timer_of(key)[1])
            except CodecError as error:
                page.damaged[key] = error
        page.has_inputs = any(True for _ in self._inbox)
        return page


def _whole(due: float) -> int | None:
    """When a timer is due, which older code may have taken as a float: at once for nan, and never for inf."""
    if math.isfinite(due):
        return math.ceil(due)
    return None if due > 0 else 0


class _Span:
    """A part of a lane's outbox, with the progress of the actions in it.

    Each progress row belongs to an outbox row, so as many of the former as there may be of the latter are enough.

    Attributes:
        reached: the key behind the last row, once `works` has been called.
    """

    def __init__(self, keys: Keyspace, reader: Any, lane: Lane, begin: bytes, end: bytes) -> None:
        self._keys = keys
        self._lease = lane.lease
        self.reached = begin
        first, last = keys.progress(lane.lease.lane)
        beyond = len(keys.lane(lane.lease.lane)[0])
        self._rows = rows(reader, begin, end, limit=PAGE)
        self._progress = rows(reader, first + begin[beyond:], last, limit=PAGE)

    def works(self, dead: set[Versionstamp], damaged: dict[bytes, CodecError]) -> tuple[list[Work], bytes | None]:
        """The works, and where to read on; None if that was all. Rows that do not decode go to `damaged`."""
        read = list(self._rows)
        progress = dict(self._progress)
        works = []
        for key, value in read:
            try:
                stamp = stamp_of(key)
                if stamp not in dead:
                    works.append(_work(self._lease, key, stamp, value, progress.get(self._keys.progress_of(key))))
            except CodecError as error:
                damaged[key] = error
        if read:
            self.reached = read[-1][0] + b"\0"
        return works, self.reached if len(read) == PAGE else None


def _work(lease: Lease, key: bytes, stamp: Versionstamp, value: bytes, progress_row: bytes | None) -> Work:
    record = Record.decode(value, key)
    progress = Progress() if progress_row is None else Progress.decode(progress_row, key)
    if len(progress.origin) not in (0, len(key[-12:])):
        raise CodecError(f"{progress.origin!r} is no versionstamp").at("the progress of the action", key)
    tag = tag_of(record.raw if progress.instead is None else progress.instead)
    return Work(lease, key, stamp, record.packed(stamp), tag, record.packed_key, progress)


def take_page(lane: Lane, page: Page, now: float) -> None:
    """Put what was read into the lane's window; `now` is the loop's time."""
    lane.seen = (page.version, now)
    if page.again is not None:
        lane.window.looked(*page.again)
    for work in page.gone:
        lane.window.gone(work)
    for work in page.fresh:
        lane.window.offer(work)
    lane.cursor, lane.at_end = page.cursor, page.at_end
    lane.next_timer_ms, lane.has_inputs = page.next_timer_ms, page.has_inputs
    if page.watch is not None:
        lane.watch = page.watch
