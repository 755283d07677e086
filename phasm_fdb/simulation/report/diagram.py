"""A space-time diagram of a run, as SVG: a column for each client and worker, the database and the outside world.

Time goes down, a row an event: what matters is the order, so time is written at the margin and long waits are cut out
(the form is Lamport's, CACM 21(7), 1978). What a browser shows beside it, it finds in the `data-` attributes.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from phasm_fdb.simulation.report.steps import client_columns, column_of
from phasm_fdb.simulation.trace import DATABASE, WORLD, Event

ROW, MARGIN, TOP = 24, 84, 8
#: How wide the columns of processes are at least and at most, and those of what they share; how far in their lines run.
NARROWEST, NARROW, WIDE, INDENT = 110, 190, 228, 24
#: The columns of processes become narrower where the diagram would be wider than that.
GOOD_WIDTH = 1080
#: A wait of so many seconds is marked at the margin.
LONG_SECONDS = 1.0
#: More events than that nobody reads, and no browser shows quickly.
MOST_EVENTS = 3000
#: About how wide a letter of a label is.
LETTER = 6.7
TIMES = "\N{MULTIPLICATION SIGN}"

#: What all processes share.
SHARED = (DATABASE, WORLD)
#: Kinds that run through all columns.
BANDS = ("phase", "violation")
#: Where an event shows that belongs to nobody.
NOBODY = "loop"


@dataclass(frozen=True, slots=True)
class Place:
    """Where an event is drawn."""

    x: int
    y: int


class Diagram:
    """The diagram of some events.

    Attributes:
        columns: whose column is where, from the left.
        left_out: how many events came before those that are drawn.
    """

    def __init__(self, events: Sequence[Event]) -> None:
        clients = client_columns(events)
        told = [event for event in events if not _goes_without_saying(event)]
        self._column = {event.number: column_of(event, clients) for event in told}
        self._events, self._times = self._together(told)
        self.left_out = max(0, len(self._events) - MOST_EVENTS)
        self._events = self._events[self.left_out :]
        self.columns = _in_order({self._column[event.number] for event in self._events} - {NOBODY})
        processes = sum(column not in SHARED for column in self.columns)
        room = GOOD_WIDTH - MARGIN - WIDE * (len(self.columns) - processes)
        self._narrow = min(NARROW, max(NARROWEST, room // max(1, processes)))
        self._xs: dict[str, int] = {}
        self.width = MARGIN
        for column in self.columns:
            self._xs[column] = self.width + INDENT
            self.width += self._width(column)
        self._places = {
            event.number: Place(self._xs.get(self._column[event.number], MARGIN), TOP + ROW * (row + 1))
            for row, event in enumerate(self._events)
        }
        self.height = TOP + ROW * (len(self._events) + 2)

    def _together(self, events: Sequence[Event]) -> tuple[list[Event], dict[int, int]]:
        """The events, of the same faults in a row only the first; and how many each stands for, by its number."""
        kept: list[Event] = []
        times: dict[int, int] = {}
        for event in events:
            if kept and event.kind == "fault" and self._is_same(kept[-1], event):
                times[kept[-1].number] += 1
            else:
                kept.append(event)
                times[event.number] = 1
        return kept, times

    def _is_same(self, one: Event, other: Event) -> bool:
        same_column = self._column[one.number] == self._column[other.number]
        return same_column and one.details.get("fault") == other.details["fault"]

    def _width(self, column: str) -> int:
        return WIDE if column in SHARED else self._narrow

    def svg(self) -> str:
        """The diagram as an `<svg>` element."""
        return "\n".join(
            [
                f'<svg class="diagram" width="{self.width}" height="{self.height}" role="img" '
                'aria-label="space-time diagram">',
                *self._lifelines(),
                *self._bands(),
                *self._clock(),
                *self._arrows(),
                *(line for event in self._events if event.kind not in BANDS for line in self._mark(event)),
                "</svg>",
            ]
        )

    def heads(self) -> str:
        """The names of the columns, which stay in sight while the diagram scrolls."""
        names = (
            f'<span class="head" style="left:{x}px">{html.escape(column)}</span>' for column, x in self._xs.items()
        )
        return f'<div class="heads" style="width:{self.width}px">{"".join(names)}</div>'

    # --------------------------------------------------------------------------------------- background

    def _bands(self) -> Iterator[str]:
        for event in self._events:
            if event.kind in BANDS:
                place = self._places[event.number]
                text = event.text if event.kind == "violation" else f"phase: {event.text}"
                yield (
                    f'<g id="e{event.number}" class="event band {event.kind}" tabindex="0" {_data(event, NOBODY)}>'
                    f'<rect x="0" y="{place.y - ROW // 2}" width="100%" height="{ROW}"/>'
                    f'<text x="{MARGIN}" y="{place.y + 4}">{html.escape(_shortened(text, 160))}</text></g>'
                )

    def _lifelines(self) -> Iterator[str]:
        """A line down each column: none while a worker is dead, broken while it is paused."""
        bottom = self.height - ROW
        for column, x in self._xs.items():
            is_worker = column.startswith("worker")
            kind, since = "dead" if is_worker else "alive", TOP
            for event in self._events:
                state = _LIFE.get(event.kind) if is_worker and self._column[event.number] == column else None
                if state is not None:
                    y = self._places[event.number].y
                    yield _line(x, since, y, kind)
                    kind, since = state, y
            yield _line(x, since, bottom, kind)

    def _clock(self) -> Iterator[str]:
        before, shown = 0.0, ""
        for event in self._events:
            y = self._places[event.number].y
            if event.time - before >= LONG_SECONDS:
                cut = y - ROW // 2
                yield f'<line class="cut" x1="0" x2="100%" y1="{cut}" y2="{cut}"/>'
            text = f"{event.time:,.3f} s"
            if text != shown:
                yield f'<text class="time" x="{MARGIN - 16}" y="{y + 4}">{text}</text>'
            before, shown = event.time, text

    def _arrows(self) -> Iterator[str]:
        for event in self._events:
            place = self._places[event.number]
            if event.kind == "commit":
                origin = self._xs.get(str(event.details["actor"]).partition(".")[0])
                if origin is not None:
                    yield f'<line class="arrow commit" x1="{origin}" y1="{place.y}" x2="{place.x}" y2="{place.y}"/>'
            cause = None if event.cause is None else self._places.get(event.cause)
            if cause is not None and cause.x != place.x and event.kind not in BANDS:
                yield f'<line class="arrow {event.kind}" x1="{cause.x}" y1="{cause.y}" x2="{place.x}" y2="{place.y}"/>'

    # --------------------------------------------------------------------------------------------- events

    def _mark(self, event: Event) -> Iterator[str]:
        place = self._places[event.number]
        column = self._column[event.number]
        room = self._width(column) - INDENT
        times = self._times[event.number]
        text = _label(event) + (f" {TIMES}{times}" if times > 1 else "")
        label = html.escape(_shortened(text, int(room / LETTER)))
        yield f'<g id="e{event.number}" class="event {event.kind}" tabindex="0" {_data(event, column)}>'
        yield f'<rect class="hit" x="{place.x - 10}" y="{place.y - ROW // 2}" width="{room}" height="{ROW}"/>'
        yield _SHAPES.get(event.kind, _DOT).format(x=place.x, y=place.y)
        yield f'<text class="label" x="{place.x + 12}" y="{place.y + 4}">{label}</text></g>'


# ---------------------------------------------------------------------------------------------- the shapes

_DOT = '<circle cx="{x}" cy="{y}" r="5"/>'
_SQUARE = '<rect x="{x}" y="{y}" width="10" height="10" transform="translate(-5 -5)"/>'
_DIAMOND = '<path d="M{x} {y}m0 -7l7 7l-7 7l-7 -7z"/>'
_CROSS = '<path d="M{x} {y}m-6 -6l12 12m0 -12l-12 12"/>'
_TRIANGLE = '<path d="M{x} {y}m-5 -6l11 6l-11 6z"/>'
_BARS = '<path d="M{x} {y}m-4 -6v12m7 -12v12"/>'

_SHAPES = {
    "input": _TRIANGLE,
    "commit": _SQUARE,
    "conflict": _SQUARE,
    "fault": _DIAMOND,
    "crash": _CROSS,
    "failed": _CROSS,
    "pause": _BARS,
    "resume": _TRIANGLE,
    "restart": _TRIANGLE,
}
_LIFE = {"restart": "alive", "crash": "dead", "pause": "paused", "resume": "alive"}


def _line(x: int, top: int, bottom: int, kind: str) -> str:
    return f'<line class="life {kind}" x1="{x}" y1="{top}" x2="{x}" y2="{bottom}"/>'


def _goes_without_saying(event: Event) -> bool:
    """Commits without an input (heartbeats, leases, notes of attempts), and that what was completed is not pending."""
    if event.kind == "ended":
        return bool(event.details["how"] == "completed")
    return event.kind == "commit" and not event.details["inputs"]


def _in_order(columns: set[str]) -> list[str]:
    """Clients, the database that they share with the workers, and the outside world beyond those."""

    def rank(column: str) -> tuple[int, str, int]:
        kind, _, number = column.partition(" ")
        order = {"client": 0, DATABASE: 1, "worker": 2, WORLD: 3}.get(kind, 4)
        return order, kind, int(number) if number.isdecimal() else 0

    return sorted(columns, key=rank)


# ------------------------------------------------------------------------------------------------ the texts


def _label(event: Event) -> str:
    """An event in a few words."""
    details = event.details
    if event.kind == "fault":
        return str(details["fault"])
    if event.kind == "commit":
        return ", ".join(_short_input(input) for input in details["inputs"])
    if event.kind == "call":
        return f"{details['action']!r} #{details['attempt']}"
    if event.kind == "result":
        return repr(details["result"]) if "result" in details else str(details.get("error"))
    if event.kind == "completion":
        return f"{details['id']!r} completed"
    if event.kind == "ended":
        return f"{details['id']!r} {details['how']}"
    if event.kind == "reply":
        return f"reply {details['reply']!r}"
    if event.kind == "input":
        return f"{details['payload']!r}"
    if event.kind == "refused":
        return f"refused: {details['error']}"
    return event.text.removeprefix(f"{event.column} ")


def _short_input(input: object) -> str:
    payload = getattr(input, "payload", None)
    return repr(payload) if payload is not None else f"{getattr(input, 'result', input)!r}"


def _shortened(text: str, longest: int) -> str:
    text = re.sub(r"\b\w+=", "", " ".join(text.split()))  # arguments without their names
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def _data(event: Event, column: str) -> str:
    """What a browser shows when the mouse is over an event."""
    shown = {name: _shown(value) for name, value in event.details.items() if name not in ("actor", "diff")}
    content = {
        "number": event.number,
        "time": f"{event.time:.6f} s",
        "where": column if event.kind != "commit" else f"{event.details['actor']} → {DATABASE}",
        "kind": event.kind,
        "text": event.text,
        "details": shown,
        "diff": list(event.details.get("diff", ())),
    }
    return f'data-event="{html.escape(json.dumps(content, ensure_ascii=False))}"'


def _shown(value: object) -> str:
    return "\n".join(map(repr, value)) if isinstance(value, list) else value if isinstance(value, str) else repr(value)
