"""Reading what has come into a lane."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from fdb.tuple import Versionstamp

from phasm_fdb.database.ranges import Row, rows
from phasm_fdb.database.waiting import wait
from phasm_fdb.keyspace import stamp_of
from phasm_fdb.records import Progress, Record, tag_of
from phasm_fdb.runtime.lane import Lane
from phasm_fdb.runtime.lease import Lease
from phasm_fdb.runtime.window import Group
from phasm_fdb.runtime.work import Work
from phasm_fdb.transition import Machinery

PAGE = 500


@dataclass(slots=True)
class Page:
    """What one transaction read of a lane.

    Attributes:
        fresh: works behind the lane's cursor.
        cursor: where to read on.
        at_end: there was nothing behind them.
        skipped: works read again, by the group for which they were, and where to read on for each.
        next_timer_ms: when the first timer is due.
        has_inputs: whether the inbox holds anything.
        watch: fires when something comes into the lane after this.
        version: the read version.
    """

    fresh: list[Work] = field(default_factory=list)
    cursor: bytes = b""
    at_end: bool = True
    skipped: dict[Group, tuple[list[Work], bytes | None]] = field(default_factory=dict)
    next_timer_ms: int | None = None
    has_inputs: bool = False
    watch: Any = None
    version: int = 0


def read_page(machinery: Machinery, lane: Lane, wanted: bool, tr: Any) -> Page:
    """Read the next page of a lane, and what waits in its timers and inbox, at one version.

    Reads are snapshots: whatever is done about a row reads it again.

    Args:
        wanted: whether there is room for more works.
    """
    reader, keys, number = tr.snapshot, machinery.keyspace, lane.lease.lane
    page = Page(cursor=lane.cursor, at_end=lane.at_end)
    dead = machinery.outbox.stillborn(reader)
    if wanted:
        read = list(rows(reader, lane.cursor, lane.end, limit=PAGE))
        page.fresh = _works(machinery, reader, lane.lease, read, dead)
        page.at_end = len(read) < PAGE
        page.cursor = read[-1][0] + b"\0" if read else lane.cursor
    for group in lane.window.hungry():
        start = lane.window.resume[group]
        read = list(rows(reader, start, lane.cursor, limit=PAGE)) if start < lane.cursor else []
        more = read[-1][0] + b"\0" if len(read) == PAGE else None
        page.skipped[group] = _works(machinery, reader, lane.lease, read, dead), more
    for key, _ in rows(reader, *keys.timers(number), limit=1):
        page.next_timer_ms = keys.timer_of(key)[1]
    page.has_inputs = any(True for _ in rows(reader, *keys.inbox(number), limit=1))
    page.watch = tr.watch(keys.signal(number)) if lane.watch is None else None
    page.version = wait(tr.get_read_version())
    return page


def take_page(lane: Lane, page: Page, now: float) -> None:
    """Put what was read into the lane's window; `now` is the loop's time."""
    lane.seen = (page.version, now)
    for group, (works, more) in page.skipped.items():
        _resume(lane, group, works, more)
    for work in page.fresh:
        lane.window.offer(work)
    lane.cursor, lane.at_end = page.cursor, page.at_end
    lane.next_timer_ms, lane.has_inputs = page.next_timer_ms, page.has_inputs
    if page.watch is not None:
        lane.watch = page.watch


def _resume(lane: Lane, group: Group, works: list[Work], more: bytes | None) -> None:
    """Take the skipped works of a group in; what there is no room for stays noted."""
    del lane.window.resume[group]
    for work in works:
        if not lane.window.offer(work, only=group):
            return
    if more is not None:
        lane.window.resume[group] = more


def _works(machinery: Machinery, reader: Any, lease: Lease, read: list[Row], dead: set[Versionstamp]) -> list[Work]:
    if not read:
        return []
    begin = machinery.keyspace.progress_row(lease.lane, stamp_of(read[0][0]))
    end = machinery.keyspace.progress_row(lease.lane, stamp_of(read[-1][0])) + b"\0"
    progress = {stamp_of(key): Progress.decode(value) for key, value in rows(reader, begin, end)}
    works = []
    for key, value in read:
        stamp = stamp_of(key)
        if stamp not in dead:
            record = Record.decode(value)
            so_far = progress.get(stamp, Progress())
            tag = tag_of(record.raw if so_far.instead is None else so_far.instead)
            works.append(Work(lease, key, stamp, record.packed(stamp), tag, record.packed_key, so_far))
    return works
