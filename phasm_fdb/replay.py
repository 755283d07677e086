"""Replaying a history in memory: every input is decided again, and has to lead to what was recorded.

The recorded versionstamps complete the keys of the replay as they did in the database, and the inputs of one
transaction are replayed as one. So the state at the end is the same, byte for byte.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from operator import itemgetter
from typing import NoReturn

from phasm_fdb.codec import writing_format
from phasm_fdb.database.ranges import Row
from phasm_fdb.database.staged import Staged
from phasm_fdb.describing import decoded, differences, outcome_lines, row_text
from phasm_fdb.effects import Effects, Outcome, Refusal
from phasm_fdb.errors import CodecError, DamagedHistory, ReplayError, TransitionError, message_of, shown
from phasm_fdb.fields.field import StateView
from phasm_fdb.journal.entry import Entry, weight
from phasm_fdb.journal.history import History
from phasm_fdb.journal.journal import SUM_MASK
from phasm_fdb.journal.memory_rows import MemoryRows
from phasm_fdb.journal.reading import Recorded
from phasm_fdb.journal.state_copy import StateCopy
from phasm_fdb.outbox import TransactionStamps
from phasm_fdb.transition.context import LayerContext
from phasm_fdb.transition.decision import decide, view_over

#: How many differences are kept, and how many rows of one.
MOST_KEPT = 20
STAMP_BYTES = 10


@dataclass(frozen=True, slots=True)
class Difference:
    """Where a replay came to something else.

    Attributes:
        where: the entry, or the state at the end.
        input: what was decided there; empty where it is not about an input.
        expected: what was recorded, in lines.
        found: what the replay came to.
    """

    where: str
    input: str
    expected: tuple[str, ...]
    found: tuple[str, ...]

    def __str__(self) -> str:
        lines = [f"{self.where}:"]
        lines += [f"  input:    {self.input}"] if self.input else []
        lines += [f"  expected: {line}" for line in self.expected]
        lines += [f"  found:    {line}" for line in self.found]
        return "\n".join(lines)


@dataclass(slots=True)
class Report:
    """How a replay went.

    Attributes:
        applied, refused: how many inputs were replayed.
        differences: where it came to something else, at most `MOST_KEPT`. The first one ends the replay, since what
            follows rests on it; differences of other code do not.
        count: how many there were.
    """

    applied: int = 0
    refused: int = 0
    differences: list[Difference] = field(default_factory=list)
    count: int = 0

    @property
    def same(self) -> bool:
        """Whether the replay came to what was recorded."""
        return self.count == 0

    def note(self, difference: Difference) -> None:
        """Count a difference, and keep it if there are not too many yet."""
        self.count += 1
        if len(self.differences) < MOST_KEPT:
            self.differences.append(difference)


@dataclass(frozen=True, slots=True)
class Failure:
    """The outcome of an input on which the machine failed, or which it could not even read."""

    error: Exception

    def lines(self) -> list[str]:
        return [f"failed: {type(self.error).__name__}: {message_of(self.error)}"]


def replay(context: LayerContext, history: History, other: LayerContext | None = None) -> Report:
    """Replay a history on memory.

    Args:
        other: new code of the same machine: every input is decided by it too, on the recorded state, and its
            differences are what is reported.

    Raises:
        ReplayError: the history is another machine's or schema's, or has a gap.
        DamagedHistory: what it is read from is not as it was written.
    """
    for layer in (context, other):
        if layer is not None:
            _require(layer, history.start)
    return _Replay(context, other, history).run()


def _require(context: LayerContext, start: StateCopy) -> None:
    name, schema = context.definition.name, context.definition.machine.schema_version
    if start.machine != name:
        raise ReplayError(f"the history is one of the machine {start.machine}, and not of {name}")
    if start.schema != schema:
        raise ReplayError(
            f"the history begins with schema version {start.schema}, and this {name} has {schema}: replay it with code "
            "of that version, or begin at a snapshot taken after the migration"
        )


class _Stop(Exception):
    """A difference that what follows would rest on."""


class _Replay:
    def __init__(self, context: LayerContext, other: LayerContext | None, history: History) -> None:
        self._context = context
        self._other = other
        self._history = history
        self._prefix = context.keyspace.prefix
        self._report = Report()
        self._large = set(history.start.large)
        self._sum = history.start.sum
        self._entries = 0

    def run(self) -> Report:
        rows = MemoryRows((self._prefix + key, value) for key, value in self._history.start.rows)
        try:
            for stamp, entries in itertools.groupby(self._history.entries, key=lambda entry: entry[0][:STAMP_BYTES]):
                base = Staged(rows)
                for entry in entries:
                    self._entry(base, entry)
                rows.stamp = stamp
                base.flush(rows)
            self._finish(rows)
        except _Stop:
            pass
        return self._report

    # ------------------------------------------------------------------------------------------ entries

    def _entry(self, base: Staged, recorded: Recorded) -> None:
        stamp, data = recorded
        self._entries += 1
        self._sum = (self._sum + weight(data)) & SUM_MASK
        entry = self._decoded(stamp, data)
        if entry.kind in ("input", "completion"):
            self._input(base, stamp, entry)
        elif entry.kind == "migrated":
            raise ReplayError(
                f"the state was migrated from schema version {entry.schema} at versionstamp {stamp.hex()}: begin at a "
                "snapshot taken after the migration"
            )
        elif self._entries > 1 or self._history.start.version:
            raise ReplayError(
                f"the journal was switched on again at versionstamp {stamp.hex()}, and what happened before is not "
                "known: begin at a snapshot taken after that"
            )

    def _decoded(self, stamp: bytes, data: bytes) -> Entry:
        try:
            entry = Entry.decode(data)
            if entry.number != int.from_bytes(stamp[STAMP_BYTES:], "big") or len(stamp) != STAMP_BYTES + 2:
                raise DamagedHistory("a journal entry is not where it was written: its key has been changed")
        except DamagedHistory as damage:
            self._stop(Difference(f"entry {self._entries}, versionstamp {stamp.hex()}", "", (), (str(damage),)))
        return entry

    def _input(self, base: Staged, stamp: bytes, entry: Entry) -> None:
        if self._other is not None:
            found = _decided(self._other, self._view(self._other, base, entry), entry)
            if not _is_recorded(entry, found):
                self._report.note(self._difference(self._other, stamp, entry, found))
        view = self._view(self._context, base, entry)
        found = _decided(self._context, view, entry)
        if not _is_recorded(entry, found):
            self._stop(self._difference(self._context, stamp, entry, found))
        if isinstance(found, Effects):
            view.staged.flush(base)
            self._large = view.large
            self._report.applied += 1
        else:
            self._report.refused += 1

    def _view(self, context: LayerContext, base: Staged, entry: Entry) -> StateView:
        """The state right before an entry; the machine's new ids get the numbers that they had then."""
        return view_over(Staged(base), context.keyspace, self._large, TransactionStamps(entry.number + 1))

    def _difference(self, by: LayerContext, stamp: bytes, entry: Entry, found: Outcome | Failure) -> Difference:
        definition = self._context.definition
        if isinstance(found, Failure):
            expected, lines = outcome_lines(definition, entry.summary), found.lines()
        else:
            expected, lines = differences(definition, entry.summary, found, by.definition)
        where = f"entry {self._entries}, versionstamp {stamp.hex()}{_time(entry.at)}"
        return Difference(where, _input_text(self._context, entry), tuple(expected), tuple(lines))

    def _stop(self, difference: Difference) -> NoReturn:
        self._report.note(difference)
        raise _Stop

    # --------------------------------------------------------------------------------------------- end

    def _finish(self, rows: MemoryRows) -> None:
        """Compare what is left: the number of entries, their checksums, and the state."""
        end = self._history.end()
        if self._sum != end.sum:
            expected, found = ((total - self._history.start.sum) & SUM_MASK for total in (end.sum, self._sum))
            self._report.note(
                Difference(
                    "the journal as a whole",
                    "",
                    (f"{_count(expected)} entries, checksum {expected >> 32:08x}",),
                    (f"{_count(found)} entries, checksum {found >> 32:08x}",),
                )
            )
        keyspace = self._context.keyspace
        cut = len(keyspace.prefix)
        found_rows = itertools.chain(
            rows.rows(keyspace.overflow, keyspace.overflow + b"\xff"),
            rows.rows(keyspace.state, keyspace.state + b"\xff"),
        )
        state = self._context.definition.state_class
        for key, one, two in _unequal(end.rows, ((key[cut:], value) for key, value in found_rows)):
            where = "the state at the end"
            self._report.note(Difference(where, "", (row_text(state, key, one),), (row_text(state, key, two),)))


def _decided(context: LayerContext, view: StateView, entry: Entry) -> Outcome | Failure:
    """What a machine makes of a recorded input."""
    try:
        input = entry.input(context.definition)
        with writing_format(entry.format):
            return decide(context.definition, view, input).effects(context.definition, context.keyspace)
    except TransitionError as rejection:
        return Refusal.of(rejection)
    except Exception as error:
        return Failure(error)


def _is_recorded(entry: Entry, found: Outcome | Failure) -> bool:
    return not isinstance(found, Failure) and found.summary() == entry.summary


def _input_text(context: LayerContext, entry: Entry) -> str:
    definition = context.definition
    try:
        return shown(entry.input(definition))
    except CodecError:
        codec = definition.results if entry.kind == "completion" else definition.inputs
        return f"{shown(decoded(codec, entry.raw))}, which this code cannot read"


def _time(at: int | None) -> str:
    """The time of an input; inputs may have any."""
    try:
        return "" if at is None else f", {datetime.fromtimestamp(at / 1000, UTC).isoformat(timespec='milliseconds')}"
    except (ValueError, OverflowError, OSError):
        return f", {at} ms"


def _unequal(expected: Iterable[Row], found: Iterable[Row]) -> Iterator[tuple[bytes, bytes | None, bytes | None]]:
    """The keys, of two sequences of rows in key order, whose values are not the same."""
    left = ((key, 0, value) for key, value in expected)
    right = ((key, 1, value) for key, value in found)
    merged = heapq.merge(left, right, key=itemgetter(0))
    for key, group in itertools.groupby(merged, key=itemgetter(0)):
        values: list[bytes | None] = [None, None]
        for _, side, value in group:
            values[side] = value
        if values[0] != values[1]:
            yield key, values[0], values[1]


def _count(total: int) -> int:
    """The number of entries in a sum of weights."""
    return total & 0xFFFF_FFFF
