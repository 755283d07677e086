"""Futures: settled once, from any thread, waited for in every way; and bytes that are futures."""

from __future__ import annotations

import asyncio
import threading

import pytest

from phasm_fdb.embedded.future import Future, Key, Value
from phasm_fdb.errors import FDBError
from tests.embedded.virtual_time import VirtualTime, code_of


def test_a_ready_future() -> None:
    future = Future(7)
    assert future.is_ready()
    assert future.wait() == 7
    told: list[object] = []
    future.on_ready(told.append)
    assert told == [future]


def test_a_failed_future_raises_a_new_error_each_time() -> None:
    future: Future[int] = Future(error=FDBError(1020, "why"))
    with pytest.raises(FDBError, match="why") as first:
        future.wait()
    with pytest.raises(FDBError) as second:
        future.wait()
    assert first.value is not second.value


def test_a_future_is_settled_once() -> None:
    future: Future[int] = Future(pending=True)
    told: list[object] = []
    future.on_ready(told.append)
    assert future.settle(1)
    assert not future.settle(2)
    future.cancel()
    assert future.wait() == 1
    assert told == [future]


def test_cancelling() -> None:
    future: Future[int] = Future(pending=True)
    future.cancel()
    assert code_of(future.wait) == 1101


def test_waiting_blocks_until_another_thread_settles() -> None:
    future: Future[int] = Future(pending=True)
    blocked = threading.Event()
    results: list[int] = []

    def wait() -> None:
        blocked.set()
        results.append(future.wait())

    thread = threading.Thread(target=wait)
    thread.start()
    blocked.wait()
    future.settle(3)
    thread.join()
    assert results == [3]


def test_what_a_callback_raises_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    def fail(_: object) -> None:
        raise ValueError("in the callback")

    Future(1).on_ready(fail)
    assert "in the callback" in capsys.readouterr().err


async def test_awaiting_a_ready_and_a_pending_future() -> None:
    assert await Future(1) == 1
    pending: Future[int] = Future(pending=True)
    thread = threading.Timer(0, pending.settle, (2,))
    thread.start()
    assert await pending == 2
    failing: Future[int] = Future(pending=True)
    asyncio.get_running_loop().call_soon(failing.settle, None, FDBError(1031))
    with pytest.raises(FDBError):
        await failing


async def test_a_task_that_is_cancelled_leaves_the_future_alone() -> None:
    future: Future[int] = Future(pending=True)

    async def wait() -> int:
        return await future

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    future.settle(1)
    await asyncio.sleep(0)
    assert future.wait() == 1


def test_waiting_for_any() -> None:
    futures: list[Future[int]] = [Future(pending=True), Future(5), Future(pending=True)]
    assert Future.wait_for_any(*futures) == 1
    with pytest.raises(ValueError, match="at least one"):
        Future.wait_for_any()


def test_a_value_behaves_like_its_bytes() -> None:
    value = Value(b"abc")
    assert value.wait() is value
    assert value == b"abc"
    assert value != b"abd"
    assert value == Value(b"abc")
    assert bytes(value) == b"abc"
    assert value[1:] == b"bc"
    assert value[0] == 97
    assert list(value) == [97, 98, 99]
    assert b"b" in value
    assert len(value) == 3
    assert value + b"d" == b"abcd"
    assert b"_" + value == b"_abc"
    assert value * 2 == b"abcabc"
    assert b"abb" < value < b"abd"
    assert value <= b"abc" <= value
    assert {value: 1}[b"abc"] == 1  # type: ignore[index]
    assert value.startswith(b"a")
    assert value.hex() == "616263"
    assert int(Value(b"12")) == 12
    assert (str(value), repr(value)) == ("b'abc'", "b'abc'")
    assert isinstance(value, bytes)
    assert value.present()
    assert value.as_foundationdb_key() == value.as_foundationdb_value() == b"abc"


def test_no_value_equals_none() -> None:
    value = Value(None)
    assert value == None  # noqa: E711 - the binding's way to ask
    assert not value.present()
    assert not value
    with pytest.raises(AttributeError):
        value._no_such_name  # noqa: B018


def test_a_pending_key_waits_when_it_is_used() -> None:
    key = Key(pending=True)
    threading.Timer(0, key.settle, (b"stamp",)).start()
    assert key == b"stamp"


def test_a_delay_sleeps_when_it_is_waited_for(time: VirtualTime) -> None:
    from phasm_fdb.embedded.timing import Delay, Time

    delay = Delay(Time(time.clock, time.sleep, time.call_later), 0.5)
    assert not delay.is_ready()
    delay.wait()
    assert time.slept == [0.5]
    assert delay.is_ready()


def test_a_delay_tells_when_it_is_over(time: VirtualTime) -> None:
    from phasm_fdb.embedded.timing import Delay, Time

    delay = Delay(Time(time.clock, time.sleep, time.call_later), 0.5, FDBError(1031))
    told: list[object] = []
    delay.on_ready(told.append)
    delay.on_ready(told.append)
    time.advance(0.4)
    assert not told
    time.advance(0.2)
    assert told == [delay, delay]
    assert time.slept == []
    assert code_of(delay.wait) == 1031


def test_the_default_timer_calls() -> None:
    from phasm_fdb.embedded.timing import call_in_thread

    called = threading.Event()
    call_in_thread(0, called.set)
    assert called.wait(10)
