from __future__ import annotations

import builtins
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from phasm_fdb import aio
from phasm_fdb.runtime import Attempt, Handlers, Retry, telemetry
from phasm_fdb.runtime.telemetry import COUNTERS, Telemetry
from tests.runtime.machines import Append, Done, Job, Jobs, Order
from tests.runtime.virtual import World, in_virtual_time


@pytest.fixture
def without_opentelemetry(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An installation that has no OpenTelemetry."""
    real = builtins.__import__

    def refuse(name: str, *args: Any) -> Any:
        if name.startswith("opentelemetry"):
            raise ImportError(name)
        return real(name, *args)

    monkeypatch.setattr(builtins, "__import__", refuse)
    telemetry._instruments.cache_clear()
    yield
    telemetry._instruments.cache_clear()


def test_without_opentelemetry_only_the_workers_own_counts_are_kept(without_opentelemetry: None) -> None:
    quiet = Telemetry({})
    quiet.count("transitions", 3)
    quiet.handled("Job", 1.0, "ok")
    with quiet.lanes_watched(list), quiet.span("anything", lane=1):
        pass
    assert quiet.counts == {"transitions": 3}


class Recorder:
    """Stands for the OpenTelemetry API, and keeps what it is told."""

    def __init__(self) -> None:
        self.added: dict[str, int] = {}
        self.recorded: list[tuple[float, dict[str, Any]]] = []
        self.spans: list[tuple[str, dict[str, Any]]] = []
        self.gauges: dict[str, Any] = {}

    Observation = staticmethod(lambda value, attributes: (value, attributes))

    def get_meter(self, scope: str) -> Recorder:
        return self

    def get_tracer(self, scope: str) -> Recorder:
        return self

    def create_counter(self, name: str, description: str) -> Any:
        recorder = self

        class Counter:
            def add(self, number: int, attributes: dict[str, Any]) -> None:
                recorder.added[name] = recorder.added.get(name, 0) + number

        return Counter()

    def create_histogram(self, name: str, unit: str, description: str) -> Recorder:
        return self

    def record(self, value: float, attributes: dict[str, Any]) -> None:
        self.recorded.append((value, attributes))

    def create_observable_gauge(self, name: str, callbacks: list[Any], **options: str) -> None:
        self.gauges.setdefault(name, callbacks[0])  # the SDK too keeps to the first of a name

    def start_as_current_span(self, name: str, attributes: dict[str, Any]) -> Any:
        import contextlib

        self.spans.append((name, attributes))
        return contextlib.nullcontext()


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    made = Recorder()
    instruments = telemetry._Instruments(made, made)
    monkeypatch.setattr(telemetry, "_instruments", lambda: instruments)
    return made


def test_what_a_worker_does_is_counted_timed_and_traced(recorder: Recorder) -> None:
    @in_virtual_time
    async def test(world: World) -> None:
        import asyncio

        layer, handlers = world.layer(Jobs()), Handlers()

        @handlers.on(Job, retry=Retry(first_delay=0.1, max_attempts=2))
        async def job(action: Job, attempt: Attempt) -> Done:
            await asyncio.sleep(2.0)
            if action.id == 1:
                raise OSError
            return Done()

        async with world.worker(layer, handlers, "w"):
            await aio.run(layer.apply, world.db, Order(1))
            await aio.run(layer.apply, world.db, Order(2))
            await layer.call(world.db, Append("k", "x"))
            await world.until(lambda: recorder.added.get("phasm.actions.started") == 2)
            await asyncio.sleep(1.0)
            pending = recorder.gauges["phasm.lane.pending"](None)
            oldest = recorder.gauges["phasm.lane.oldest"](None)
            await world.until(lambda: len(layer.dead_letters(world.db)) == 1)
        assert sum(count for count, _ in pending) == 2
        assert {attributes["phasm.lane"] for _, attributes in oldest} == set(range(8))
        assert {round(age) for age, _ in oldest} == {0, 1}

    test()
    expected = {
        "phasm.actions.started": 3,
        "phasm.actions.completed": 1,
        "phasm.actions.retried": 1,
        "phasm.dead_letters": 1,
        "phasm.transitions": 2,
        "phasm.leases.claimed": 8,
    }
    assert {name: recorder.added.get(name) for name in expected} == expected
    outcomes = sorted((attributes["phasm.outcome"], value) for value, attributes in recorder.recorded)
    assert [(outcome, pytest.approx(2.0)) for outcome, _ in outcomes] == outcomes
    assert [outcome for outcome, _ in outcomes] == ["OSError", "OSError", "ok"]
    actions = [attributes for name, attributes in recorder.spans if name == "phasm.action"]
    assert sorted((one["phasm.id"], one["phasm.attempt"]) for one in actions) == [("1", 1), ("1", 2), ("2", 1)]
    assert {(one["phasm.worker"], one["phasm.machine"]) for one in actions} == {("w", "Jobs")}


def test_the_lanes_of_all_workers_of_a_process_are_seen_while_they_run(recorder: Recorder) -> None:
    def seen() -> list[tuple[str, int]]:
        return sorted(
            (one["phasm.worker"], one["phasm.lane"]) for _, one in recorder.gauges["phasm.lane.pending"](None)
        )

    @in_virtual_time
    async def test(world: World) -> None:
        layer = world.layer(Jobs())
        async with world.worker(layer, Handlers(), "a") as first, world.worker(layer, Handlers(), "b") as second:
            await world.until(lambda: len(first.lanes) == len(second.lanes) == 4)
            assert seen() == [("a", lane) for lane in first.lanes] + [("b", lane) for lane in second.lanes]
        assert seen() == []

    test()


def test_only_declared_counters_are_counted() -> None:
    with pytest.raises(KeyError):
        Telemetry({}).count("no such thing")
    assert all(text for text in COUNTERS.values())


def test_logs_have_fields(caplog: pytest.LogCaptureFixture) -> None:
    @in_virtual_time
    async def test(world: World) -> None:
        layer, handlers = world.layer(Jobs()), Handlers()

        @handlers.on(Job, retry=Retry(max_attempts=1))
        async def job(action: Job, attempt: Attempt) -> Done:
            raise OSError("no route")

        async with world.worker(layer, handlers):
            await aio.run(layer.apply, world.db, Order(1))
            await world.until(lambda: bool(layer.dead_letters(world.db)))

    with caplog.at_level(logging.WARNING, "phasm_fdb.worker"):
        test()
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert record.getMessage() == "attempt 1 at Job 1 failed, and it was moved to the dead letters: OSError: no route"
    assert (record.action, record.id, record.verdict, record.lane in range(8)) == ("Job", 1, "BURIED", True)  # type: ignore[attr-defined]
