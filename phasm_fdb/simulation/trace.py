"""The record of a run: a digest of everything that happened, a count of each kind, and on request every event.

The digest and the counts are always kept, so they are cheap. Events are for people: they are kept when a run is
shown, and since a run can be repeated exactly, nobody has to keep them before it is known that they are wanted.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

#: The columns of a space-time diagram are the actors that events name: "client 1", "worker 2", and these two.
DATABASE = "database"
WORLD = "world"


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened.

    Attributes:
        number: counts the events, from 1.
        time: virtual seconds since the beginning of the run.
        column: whose event it is: "client 1", "worker 2", "database", "world", "loop".
        kind: one of `KINDS`.
        text: in words, for people.
        cause: the number of the event that led to this one, where one did: an arrow in a diagram.
        details: what belongs to the kind; see `KINDS`.
    """

    number: int
    time: float
    column: str
    kind: str
    text: str
    cause: int | None = None
    details: dict[str, Any] = field(default_factory=dict)


#: The kinds of events, and their details.
KINDS = {
    "phase": "the run enters its next phase: setup, faults, rest",
    "input": "a client sends an input: operation, request, payload",
    "reply": "a client has its answer: operation, reply",
    "refused": "a client's input was refused: operation, error",
    "failed": "a client gave an operation up: operation, error",
    "commit": "a transaction was committed: version, actor, writes (how many), inputs, diff (state rows that changed)",
    "conflict": "a commit was refused because what it read had changed: actor",
    "fault": "a fault was injected: fault, value",
    "crash": "a worker dies: worker",
    "restart": "a worker begins with fresh memory: worker, machine",
    "pause": "a worker stops running, and does not know it: worker, seconds",
    "resume": "it goes on: worker",
    "call": "a worker calls the outside world: id, action, attempt, key",
    "result": "the outside world did an action: id, result or error, repeated",
    "completion": "the result of an action was applied: id, result",
    "ended": "an action is pending no more: id, how (completed, cancelled, dead letter)",
    "violation": "something that must hold did not: invariant",
}


class Trace:
    """Takes what happens, in order. Two runs of one seed record the same, in any process.

    Args:
        now: virtual seconds since the beginning of the run.
        keep: keep every event.

    Attributes:
        counts: how often each kind of thing happened.
        events: all events; None unless they are kept. Guard what only builds an event by `if trace.events is not None`.
    """

    def __init__(self, now: Callable[[], float] = float, keep: bool = False) -> None:
        self._now = now
        self._hash = hashlib.sha256()
        self._digests: list[bytes] = []
        self.counts: Counter[str] = Counter()
        self.events: list[Event] | None = [] if keep else None
        self._has_ended = False

    def note(self, name: str, data: bytes = b"") -> None:
        """Count something, and put it into the digest with the bytes that tell it from others of its name."""
        if self._has_ended:
            return
        self.counts[name] += 1
        self._digests.append(b"%s %.6f %s\n" % (name.encode(), self._now(), data))
        if len(self._digests) > 500:
            self._mix()

    def event(self, column: str, kind: str, text: str, cause: int | None = None, **details: Any) -> int | None:
        """Keep an event, if events are kept; returns its number."""
        if self.events is None or self._has_ended:
            return None
        number = len(self.events) + 1
        self.events.append(Event(number, self._now(), column, kind, text, cause, details))
        return number

    def end(self) -> None:
        """The run is over: what comes now is only its parts being taken down."""
        self._has_ended = True

    @property
    def digest(self) -> str:
        """The SHA-256 so far, in hexadecimal."""
        self._mix()
        return self._hash.hexdigest()

    def _mix(self) -> None:
        self._hash.update(b"".join(self._digests))
        self._digests.clear()


def column_of(name: str) -> str:
    """The column of a process: its lives share one."""
    return name.partition(".")[0]
