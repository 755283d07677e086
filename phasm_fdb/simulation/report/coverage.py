"""Which faults have met which inputs and actions: a pair that never met was never tested."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from phasm_fdb.simulation.trace import Event

#: Where a fault met nothing of the machine: a lease, a heartbeat, an idle worker.
NOTHING = "(housekeeping)"

#: Faults on a commit belong to what is committed; those on outside calls to the action.
_OF_COMMITS = ("1020", "1021", "1039", "1031", "commit", "answer", "crash before commit", "crash after commit")
#: How many commits are looked at to find the one that a fault belonged to.
LOOK_AHEAD = 50

_OF_CALLS = ("call", "result", "completion", "crash before call", "crash after call")


class Coverage:
    """Pairs of what was done and the kind of fault that met it, counted over runs.

    Attributes:
        pairs: how often each pair occurred: (type of the input, result or action; kind of fault).
    """

    def __init__(self) -> None:
        self.pairs: Counter[tuple[str, str]] = Counter()

    def add(self, events: Sequence[Event]) -> None:
        """Count the pairs of a run whose events were kept."""
        run = _Run(events)
        for event in events:
            if event.kind == "fault":
                kind = str(event.details["fault"])
                self.pairs.update((what, kind) for what in run.met_by(event, kind))
            run.note(event)

    @property
    def subjects(self) -> list[str]:
        """What was met by faults, in alphabetical order."""
        return sorted({what for what, _ in self.pairs})

    @property
    def kinds(self) -> list[str]:
        """The kinds of faults that occurred, in alphabetical order."""
        return sorted({kind for _, kind in self.pairs})


class _Run:
    """What is under way at each point of a run."""

    def __init__(self, events: Sequence[Event]) -> None:
        self._payloads = {
            f"op {event.details['operation']}": _name(event.details["payload"])
            for event in events
            if event.kind == "input"
        }
        self._commits = [event for event in events if event.kind == "commit"]
        self._next = 0
        self._calls: dict[str, dict[int, str]] = {}
        self._column_of_call: dict[int, str] = {}
        self._last: dict[str, str] = {}

    def note(self, event: Event) -> None:
        """Follow what begins and ends."""
        if event.kind == "call":
            self._calls.setdefault(event.column, {})[event.number] = _name(event.details["action"])
            self._column_of_call[event.number] = event.column
            self._last[event.column] = _name(event.details["action"])
        elif event.kind == "result" and event.cause is not None:
            column = self._column_of_call.get(event.cause, "")
            self._last[column] = self._calls.get(column, {}).pop(event.cause, self._last.get(column, NOTHING))
        elif event.kind == "crash":
            self._calls.pop(event.column, None)

    def met_by(self, fault: Event, kind: str) -> Iterable[str]:
        """What a fault met."""
        if fault.column in self._payloads:
            return [self._payloads[fault.column]]
        if kind.startswith(_OF_CALLS):
            return [self._last.get(fault.column, NOTHING)]
        if kind.startswith(_OF_COMMITS):
            return self._committed_next(fault) or [NOTHING]
        return sorted(set(self._calls.get(fault.column, {}).values())) or [NOTHING]

    def _committed_next(self, fault: Event) -> list[str]:
        """The inputs of the next commit of the same process: a refused one is tried again."""
        while self._next < len(self._commits) and self._commits[self._next].number < fault.number:
            self._next += 1
        for commit in self._commits[self._next : self._next + LOOK_AHEAD]:
            if str(commit.details["actor"]).partition(".")[0] == fault.column:
                return sorted({_input_name(input) for input in commit.details["inputs"]})
        return []


def _input_name(input: object) -> str:
    payload = getattr(input, "payload", None)
    return _name(getattr(input, "result", None) if payload is None else payload)


def _name(value: object) -> str:
    return type(value).__name__
