"""A run in words: its choices as numbered steps, and under each what came of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from phasm_fdb.simulation.choices import Choice
from phasm_fdb.simulation.run.result import Result
from phasm_fdb.simulation.trace import Event

#: What a person asks for, by the kinds of events: the choices themselves, and what follows from them.
STEPS = ("input", "fault")
CONSEQUENCES = ("reply", "refused", "failed", "conflict", "crash", "call", "result", "completion", "violation")

MOST_LINES = 200


def steps(result: Result) -> str:
    """The steps of a run whose events were kept, as text of several lines.

    What workers do between the steps is shortened: heartbeats and commits without an input are left out.
    """
    lines = [*_settings(result), *_lines(result.events), *_schedule(result.choices)]
    if len(lines) > MOST_LINES:
        lines = [*lines[: MOST_LINES // 2], f"  ... {len(lines) - MOST_LINES} more lines", *lines[-MOST_LINES // 2 :]]
    return "\n".join(lines)


def client_columns(events: Sequence[Event]) -> dict[str, str]:
    """The client that executed each operation: its faults are decided in the operation's name, such as "op 7"."""
    return {f"op {event.details['operation']}": event.column for event in events if event.kind == "input"}


def column_of(event: Event, clients: dict[str, str]) -> str:
    """Whose event it is, of those that can be seen: an operation's is its client's."""
    return clients.get(event.column, event.column)


def _settings(result: Result) -> Iterator[str]:
    settings = result.settings
    assert settings is not None, "a result of one run has its settings"
    clients = {choice.value["client"] for choice in result.choices if choice.is_input}
    numbers = ((len(clients), "client"), (settings.workers, "worker"), (settings.lanes, "lane"))
    yield f"seed {settings.seed}, with {', '.join(f'{number} {_plural(what, number)}' for number, what in numbers)}:"


def _plural(what: str, number: int) -> str:
    return what if number == 1 else f"{what}s"


def _lines(events: Sequence[Event]) -> Iterator[str]:
    clients = client_columns(events)
    number = 0
    for event in events:
        column = column_of(event, clients)
        if event.kind in STEPS:
            number += 1
            yield f"{number:4}. {event.time:10.3f} s  {column}: {_text(event)}"
        elif event.kind in CONSEQUENCES:
            mark = "!!" if event.kind == "violation" else "->"
            yield f"      {event.time:10.3f} s    {mark} {_consequence(event, column)}"


def _text(event: Event) -> str:
    """Without the name of who decided, which stands before it."""
    _, colon, rest = event.text.partition(": ")
    text = rest if colon else event.text
    value = event.details.get("value")
    if event.kind == "fault" and value is not None and value is not True:
        return f"fault {event.details['fault']} ({value}): {text}"
    return f"fault {event.details['fault']}: {text}" if event.kind == "fault" else text


def _consequence(event: Event, column: str) -> str:
    if event.kind == "violation":
        return f"violated: {event.text}"
    if event.kind in ("reply", "refused", "failed"):
        what = {"reply": "is answered", "refused": "is refused", "failed": "gives up"}[event.kind]
        return f"{column} {what}: {event.text.partition(': ')[2]}"
    return f"{column}: {event.text}"


def _schedule(choices: Sequence[Choice]) -> Iterator[str]:
    turns = [choice for choice in choices if choice.what == "schedule"]
    if turns:
        yield f"      and {len(turns)} times another task than the first one that was ready ran next"
