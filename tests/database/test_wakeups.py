"""How the tasks of a loop are woken: by callbacks, and where very many wait at once, by looking at their futures."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from phasm_fdb import aio
from phasm_fdb.database.waiting import wait
from phasm_fdb.database.wakeups import LOOK_SECONDS, MOST_CALLED, MOST_LOOKS, wakeups_of
from tests.runtime.virtual import VirtualLoop


class Answer:
    """A database's future."""

    def __init__(self) -> None:
        self.callbacks: list[Callable[[Any], object]] = []
        self.ready = False
        self.looks = 0

    @classmethod
    def that_came(cls) -> Answer:
        answer = cls()
        answer.come()
        return answer

    def come(self) -> None:
        self.ready = True
        for callback in self.callbacks:
            callback(self)

    def is_ready(self) -> bool:
        self.looks += 1
        return self.ready

    def on_ready(self, callback: Callable[[Any], object]) -> None:
        self.callbacks.append(callback)

    def cancel(self) -> None:
        self.come()

    def wait(self) -> str:
        assert self.ready, "would have blocked the loop"
        return "answer"


def in_virtual_time(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(main())


async def finish(answers: list[Answer], tasks: list[asyncio.Task[Any]]) -> None:
    for answer in answers:
        answer.come()
    await asyncio.gather(*tasks, return_exceptions=True)


async def waiting(answers: list[Answer]) -> list[asyncio.Task[Any]]:
    tasks = [asyncio.create_task(aio.run(wait, answer)) for answer in answers]
    await asyncio.sleep(0)
    return tasks


def test_beyond_the_first_few_the_loop_looks_itself() -> None:
    async def main() -> None:
        answers = [Answer() for _ in range(MOST_CALLED + 10)]
        tasks = await waiting(answers)
        called = [answer for answer in answers if answer.callbacks]
        assert called == answers[:MOST_CALLED]
        for answer in answers:
            answer.come()
        assert await asyncio.gather(*tasks) == ["answer"] * len(answers)
        assert asyncio.get_running_loop().time() == pytest.approx(LOOK_SECONDS)

    in_virtual_time(main)


def test_those_that_are_not_ready_yet_are_looked_at_again() -> None:
    async def main() -> None:
        answers = [Answer() for _ in range(MOST_CALLED + 2)]
        tasks = await waiting(answers)
        answers[-1].come()
        await tasks[-1]
        assert not tasks[-2].done()
        answers[-2].come()
        assert await tasks[-2] == "answer"
        assert asyncio.get_running_loop().time() == pytest.approx(2 * LOOK_SECONDS)
        await finish(answers[:MOST_CALLED], tasks)

    in_virtual_time(main)


def test_whoever_was_woken_makes_room_for_a_callback() -> None:
    async def main() -> None:
        first = [Answer() for _ in range(MOST_CALLED)]
        tasks = await waiting(first)
        first[0].come()
        await tasks[0]
        later = [Answer(), Answer()]
        tasks += await waiting(later)
        assert [len(answer.callbacks) for answer in later] == [1, 0]
        await finish(first[1:] + later, tasks)

    in_virtual_time(main)


def test_what_takes_long_gets_a_callback_and_does_not_count() -> None:
    async def main() -> None:
        slow = [Answer() for _ in range(MOST_CALLED + 3)]
        tasks = await waiting(slow)
        await asyncio.sleep((MOST_LOOKS + 1) * LOOK_SECONDS)
        assert [len(answer.callbacks) for answer in slow] == [1] * len(slow)
        looks = [answer.looks for answer in slow]
        quick = Answer()
        tasks += await waiting([quick])
        assert len(quick.callbacks) == 1
        await asyncio.sleep(1)
        assert [answer.looks for answer in slow] == looks
        for answer in [*slow, quick]:
            answer.come()
        assert await asyncio.gather(*tasks) == ["answer"] * len(tasks)

    in_virtual_time(main)


def test_a_watch_always_has_a_callback() -> None:
    async def main() -> None:
        answers = [Answer() for _ in range(MOST_CALLED)]
        tasks = await waiting(answers)
        watches = [Answer(), Answer()]
        tasks += [asyncio.create_task(aio.ready(watch)) for watch in watches]
        await asyncio.sleep(0)
        assert [len(watch.callbacks) for watch in watches] == [1, 1]
        await finish(answers + watches, tasks)

    in_virtual_time(main)


def test_a_cancelled_task_is_not_looked_for_again() -> None:
    async def main() -> None:
        answers = [Answer() for _ in range(MOST_CALLED + 1)]
        tasks = await waiting(answers)
        tasks[-1].cancel()
        await asyncio.sleep(LOOK_SECONDS)
        looks = answers[-1].looks
        await asyncio.sleep(10 * LOOK_SECONDS)
        assert answers[-1].looks == looks
        await finish(answers, tasks)

    in_virtual_time(main)


def test_a_loop_that_ended_while_something_was_awaited_is_not_kept() -> None:
    def begin(loop: VirtualLoop) -> None:
        for _ in range(MOST_CALLED + 1):
            wakeups_of(loop).soon(Answer(), loop)
        loop.close()

    begun = VirtualLoop()
    begin(begun)
    gone = weakref.ref(begun)
    del begun

    async def main() -> None:
        assert await aio.run(wait, Answer.that_came()) == "answer"

    in_virtual_time(main)
    gc.collect()
    assert gone() is None
