"""The task that finds what is to be done in the held lanes, and starts it."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import Any

from phasm_fdb.errors import CodecError, StaleLease
from phasm_fdb.runtime.applier import Applier
from phasm_fdb.runtime.causes import WorkerLost
from phasm_fdb.runtime.ending import Ending
from phasm_fdb.runtime.firing import fire
from phasm_fdb.runtime.keeper import Keeper
from phasm_fdb.runtime.lane import Lane
from phasm_fdb.runtime.lanes import Lanes
from phasm_fdb.runtime.limit import Limiter
from phasm_fdb.runtime.loading import read_pages, take_page
from phasm_fdb.runtime.setting_aside import set_aside
from phasm_fdb.runtime.settler import Settler
from phasm_fdb.runtime.starting import Started, start
from phasm_fdb.runtime.version_clock import VersionClock
from phasm_fdb.runtime.work import Work
from phasm_fdb.runtime.worker_context import WorkerContext

logger = logging.getLogger("phasm_fdb.worker")

#: Nothing more is started while so many ended attempts wait to be recorded.
MOST_UNSETTLED = 1_000
LANES_A_LOOK = 50


class Dispatcher:
    """Reads lanes, starts what may be started, and sleeps until something changes."""

    def __init__(self, worker: WorkerContext, lanes: Lanes, keeper: Keeper, settler: Settler, applier: Applier) -> None:
        self._worker = worker
        self._transact = worker.transact
        self._telemetry = worker.telemetry
        self._lanes = lanes
        self._keeper = keeper
        self._settler = settler
        self._applier = applier
        self._running = 0
        self._turn = 0
        self._next_poll = float("-inf")
        self._blocked: dict[str, float] = {}
        self._clock = VersionClock(lambda: asyncio.get_running_loop().time())
        self.is_stopped = False

    async def run(self) -> None:
        """Dispatch until cancelled; begun again, it goes on where it was."""
        while True:
            self._lanes.wake.clear()
            busy = self._keeper.is_good and not self.is_stopped and await self._round()
            if not busy:
                await self._sleep()

    def unblock(self, tag: str) -> None:
        """A slot of this type's limit has become free."""
        if self._blocked.pop(tag, None) is not None:
            self._lanes.wake.set()

    async def _round(self) -> bool:
        """Look once at everything; whether to look again at once."""
        loaded = await self._load()
        fired = await self._fire()
        for lane in self._lanes:
            if lane.is_working and lane.has_inputs and lane.applying is None:
                self._applier.begin(lane)
        return await self._start() or loaded or fired

    # ------------------------------------------------------------------------------------------- looking

    async def _load(self) -> bool:
        """Read the lanes into which something may have come, or of which little is loaded."""
        now = asyncio.get_running_loop().time()
        if now >= self._next_poll:
            self._next_poll = now + self._worker.poll_seconds
            for lane in self._lanes:
                lane.dirty = True
        lanes = [lane for lane in self._lanes if lane.needs_loading(self._worker.concurrency)][:LANES_A_LOOK]
        if not lanes:
            return False
        wanted = []
        for lane in lanes:
            wanted.append(lane.window.wants_more(self._worker.concurrency) and (lane.dirty or not lane.at_end))
            lane.dirty = False
        try:
            pages = await self._transact(read_pages, list(zip(lanes, wanted, strict=True)))
        except BaseException:
            for lane in lanes:
                lane.dirty = True
            raise
        for lane, page in zip(lanes, pages, strict=True):
            if self._lanes.of(lane.lease) is lane:
                take_page(lane, page, now)
            if page.watch is not None:
                self._follow(lane, page.watch)
            if page.damaged and self._lanes.of(lane.lease) is lane:
                await self._set_aside(lane, page.damaged)
        return True

    async def _set_aside(self, lane: Lane, damaged: dict[bytes, CodecError]) -> None:
        """Move rows that do not decode to the dead letters."""
        for error in damaged.values():
            logger.error("a row goes to the dead letters: %s", error, extra={"lane": lane.lease.lane})
        lane.dirty = True
        try:
            count = await self._transact(set_aside, lane.lease, damaged)
        except StaleLease:
            self._lanes.lost(lane.lease.lane)
        else:
            self._telemetry.count("dead_letters", count)

    def _follow(self, lane: Lane, watch: Any) -> None:
        """Look at a lane again when its watch fires. One that fails is as good as lost: there is the poll."""
        loop = asyncio.get_running_loop()

        def fired() -> None:
            if lane.watch is watch:
                lane.watch = None
                lane.dirty = lane.dirty or _is_good(watch)
                self._lanes.wake.set()

        def on_ready(_watch: Any) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(fired)

        if self._lanes.of(lane.lease) is lane:
            watch.on_ready(on_ready)
        else:
            watch.cancel()

    async def _fire(self) -> bool:
        """Move the timers that are due."""
        now = self._worker.clock()
        now_ms = int(now * 1000)
        more = False
        for lane in self._lanes:
            if not lane.is_working or lane.next_timer_ms is None or lane.next_timer_ms > now_ms:
                continue
            lane.next_timer_ms, lane.dirty = None, True
            try:
                fired = await self._transact(fire, lane.lease, now=now)
            except StaleLease:
                self._lanes.lost(lane.lease.lane)
                continue
            self._telemetry.count("timers.fired", fired)
            more = True
        return more

    # ------------------------------------------------------------------------------------------ starting

    async def _start(self) -> bool:
        """Start as much as there is room for; whether anything was taken in hand."""
        works = self._take()
        if not works:
            return False
        session, runs = self._keeper.session, self._lanes.runs
        limiter = Limiter(self._worker.layer.keyspace, session, self._worker.chance, self._clock, runs)
        try:
            started = await self._transact(start, self._worker.capabilities, limiter, works)
        except BaseException:
            for work in reversed(works):
                self._put_back(work)
            raise
        self._begin(started)
        return True

    def _take(self) -> list[Work]:
        """The works to start: in turn from each lane, in the order of the lane."""
        room = 0 if self._settler.backlog >= MOST_UNSETTLED else self._worker.concurrency - self._running
        now, now_ms = asyncio.get_running_loop().time(), self._worker.now_ms()
        self._blocked = {tag: until for tag, until in self._blocked.items() if until > now}
        lanes = [lane for lane in self._lanes if lane.is_working]
        works: list[Work] = []
        self._turn += 1
        rotation = self._turn % max(1, len(lanes))
        lanes = lanes[rotation:] + lanes[:rotation]
        while lanes and len(works) < room:
            for lane in list(lanes):
                work = lane.window.take(now_ms, self._blocked.__contains__) if len(works) < room else None
                if work is None:
                    lanes.remove(lane)
                    continue
                lane.running[work] = None
                works.append(work)
        return works

    def _put_back(self, work: Work) -> None:
        lane = self._lanes.of(work.lease)
        if lane is not None and lane.running.pop(work, work) is None:
            lane.window.put_back(work)

    def _begin(self, started: Started) -> None:
        """Act on what the transaction decided."""
        for work in started.stale:
            self._lanes.lost(work.lane)
        for work in started.gone:
            lane = self._lanes.of(work.lease)
            if lane is not None:
                lane.running.pop(work, None)
                lane.window.done(work)
        for work in started.spent:
            self._settle(work, None, WorkerLost("the worker was lost during the last attempt"))
        for work, error in started.unreadable:
            self._settle(work, None, error)
        for work in started.kept:
            self._settle(work, None, None)
        for work in started.newer:
            lane = self._lanes.of(work.lease)
            if lane is not None:
                lane.running.pop(work, None)
                lane.window.leave(work)
        now = asyncio.get_running_loop().time()
        for tag, (works, seconds) in started.denied.items():
            self._blocked[tag] = now + seconds
            for work in reversed(works):
                self._put_back(work)
        self._telemetry.count("actions.started", len(started.running))
        for work, progress, slot in started.running:
            work.progress, work.slot = progress, slot
            lane = self._lanes.of(work.lease)
            if lane is not None:
                self._running += 1
                task = self._worker.supervisor.spawn(self._work_on(work), f"{work.tag} of lane {work.lane}")
                task.add_done_callback(self._ended)  # not in the task: one that is cancelled at once never begins
                lane.running[work] = task

    def _ended(self, _task: asyncio.Task[None]) -> None:
        self._running -= 1
        self._lanes.wake.set()

    async def _work_on(self, work: Work) -> None:
        """Make one attempt."""
        handler = self._worker.capabilities.by_tag[work.tag].handler
        result: Any = None
        error: BaseException | None = None
        try:
            result = await self._worker.caller.call(handler, work)
        except asyncio.CancelledError as cancelled:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise  # the lane is lost, or the worker is
            error = cancelled
        except Exception as raised:
            error = raised
        self._settle(work, result, error)

    def _settle(self, work: Work, result: Any, error: BaseException | None) -> None:
        retry = self._worker.capabilities.by_tag[work.tag].handler.retry
        if error is not None and work.action is None:
            retry = replace(retry, final=(Exception,))  # what cannot be read will not get better
        progress = work.progress
        number = progress.failures + 1 if progress.failures else max(1, progress.attempts)
        delay = retry.delay(number, self._worker.chance)
        self._settler.put(Ending(work, retry, result, error, delay))

    # ------------------------------------------------------------------------------------------ sleeping

    async def _sleep(self) -> None:
        """Wait until something changes, or falls due."""
        seconds = self._seconds_to_next()
        try:
            async with asyncio.timeout(seconds):
                await self._lanes.wake.wait()
        except TimeoutError:
            pass

    def _seconds_to_next(self) -> float:
        loop_now, now_ms = asyncio.get_running_loop().time(), self._worker.now_ms()
        waits = [max(0.0, self._next_poll - loop_now), self._worker.poll_seconds]
        if self.is_stopped or not self._keeper.is_good:
            return self._worker.poll_seconds
        waits += [until - loop_now for until in self._blocked.values()]
        for lane in self._lanes:
            due = [ms for ms in (lane.next_timer_ms, lane.window.next_due_ms()) if ms is not None]
            waits += [(ms - now_ms) / 1000 for ms in due if lane.is_working]
        return max(0.001, min(waits))


def _is_good(watch: Any) -> bool:
    try:
        watch.wait()
    except Exception:
        return False
    return True
