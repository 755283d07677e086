"""Counting what a worker does: for itself, and for OpenTelemetry where that is installed.

The OpenTelemetry API costs next to nothing while no SDK is set up, and is not needed to run: it is imported when the
first worker is made, and if it is missing only the worker's own counts are kept.
"""

from __future__ import annotations

import collections
import contextlib
import functools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

SCOPE = "phasm_fdb"

#: What is counted, and in words.
COUNTERS = {
    "transitions": "inputs and results that a machine took",
    "rejections": "submitted inputs that a machine refused",
    "conflicts": "attempts at a transaction beyond its first",
    "actions.started": "attempts at an action",
    "actions.completed": "actions whose result was applied",
    "actions.retried": "failed attempts that are made again",
    "results.kept": "results on which a machine failed, each time that it did",
    "actions.stale": "results that came for an action that is not pending, or under a lost lease",
    "dead_letters": "actions and inputs that were given up",
    "untracked.run": "untracked actions that were run",
    "untracked.failed": "untracked actions whose handler raised",
    "untracked.dropped": "untracked actions that found the queue full",
    "leases.claimed": "lanes that were taken",
    "leases.takeovers": "lanes that were taken from a worker that died",
    "timers.fired": "timers that fell due",
}


_NO_SPAN = contextlib.nullcontext()

#: Gives for each lane: its number, how many actions are loaded, and the age of the oldest in seconds.
Look = Callable[[], Iterable[tuple[int, int, float]]]


class Telemetry:
    """What one worker counts and measures.

    Attributes:
        counts: by name (see `COUNTERS`), since the worker was made.

    Args:
        attributes: what tells this worker's numbers from those of others.
    """

    def __init__(self, attributes: dict[str, str]) -> None:
        self.counts: collections.Counter[str] = collections.Counter()
        self._attributes = attributes
        self._api = _instruments()

    def count(self, name: str, number: int = 1) -> None:
        """Add to a declared counter; raises KeyError for any other name."""
        COUNTERS[name]
        if number:
            self.counts[name] += number
            if self._api is not None:
                self._api.counters[name].add(number, self._attributes)

    def handled(self, action_type: str, seconds: float, outcome: str) -> None:
        """Record how long a handler took, and whether it returned ("ok") or what it raised."""
        if self._api is not None:
            attributes = {**self._attributes, "phasm.action": action_type, "phasm.outcome": outcome}
            self._api.handler_seconds.record(seconds, attributes)

    def span(self, name: str, **attributes: Any) -> contextlib.AbstractContextManager[Any]:
        """A span around a piece of work."""
        if self._api is None:
            return _NO_SPAN
        named = {**self._attributes, **{f"phasm.{key}": value for key, value in attributes.items()}}
        span: contextlib.AbstractContextManager[Any] = self._api.tracer.start_as_current_span(name, attributes=named)
        return span

    @contextlib.contextmanager
    def lanes_watched(self, look: Look) -> Iterator[None]:
        """Offer meanwhile, for each lane of `look()`, how much of it is loaded and how old its oldest action is."""
        if self._api is None:
            yield
            return
        self._api.looks[self] = look, self._attributes
        try:
            yield
        finally:
            del self._api.looks[self]


class _Instruments:
    """The OpenTelemetry instruments, made once a process: the SDK ignores a second gauge of the same name.

    Attributes:
        looks: how to look at the lanes of each worker that runs, and its attributes.
    """

    def __init__(self, metrics: Any, trace: Any) -> None:
        self._observation = metrics.Observation
        meter = metrics.get_meter(SCOPE)
        self.tracer = trace.get_tracer(SCOPE)
        self.counters = {
            name: meter.create_counter(f"phasm.{name}", description=text) for name, text in COUNTERS.items()
        }
        self.handler_seconds = meter.create_histogram(
            "phasm.handler.duration", unit="s", description="how long handlers take"
        )
        self.looks: dict[Telemetry, tuple[Look, dict[str, str]]] = {}
        meter.create_observable_gauge("phasm.lane.pending", [self._pending], description="actions loaded, by lane")
        meter.create_observable_gauge(
            "phasm.lane.oldest", [self._oldest], unit="s", description="age of the oldest action, by lane"
        )

    def _pending(self, _options: Any) -> list[Any]:
        return [self._observation(loaded, attributes) for attributes, loaded, _ in self._lanes()]

    def _oldest(self, _options: Any) -> list[Any]:
        return [self._observation(age, attributes) for attributes, _, age in self._lanes()]

    def _lanes(self) -> Iterator[tuple[dict[str, Any], int, float]]:
        for look, attributes in list(self.looks.values()):
            for lane, loaded, age in look():
                yield {**attributes, "phasm.lane": lane}, loaded, age


@functools.cache
def _instruments() -> _Instruments | None:
    try:
        from opentelemetry import metrics, trace
    except ImportError:
        return None
    return _Instruments(metrics, trace)
