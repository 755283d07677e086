"""Rows, changes and effects in words, for errors and for `phasm replay`.

What cannot be decoded is shown as it is stored, so nothing here raises because of bad data.
"""

from __future__ import annotations

from collections import Counter as Multiset
from dataclasses import dataclass
from typing import Any

from phasm_fdb import plain
from phasm_fdb.codec import Codec
from phasm_fdb.database.staged import Staged, decode_count
from phasm_fdb.definition import Definition
from phasm_fdb.effects import DIGEST, Effects, Outcome, Refusal
from phasm_fdb.errors import PhasmError, shown
from phasm_fdb.fields.cells import MARKER
from phasm_fdb.fields.counter import Counter
from phasm_fdb.fields.field import Field
from phasm_fdb.fields.log import Log
from phasm_fdb.fields.map import Map
from phasm_fdb.fields.value import Value
from phasm_fdb.keys import pack_element, unpack
from phasm_fdb.keyspace import Keyspace
from phasm_fdb.state import State

STATE = pack_element("s")
#: The most characters of one value.
MOST_TEXT = 100_000
#: How many rows of a cleared range are named.
MOST_CLEARED = 100
#: The parts of an outcome, in order.
PARTS = ("reply", "actions", "writes")

_UNREADABLE = (PhasmError, ValueError, TypeError, KeyError, IndexError)


class _Absent:
    """Stands for the value of a row that is not there."""

    def __repr__(self) -> str:
        return "nothing"


ABSENT = _Absent()


@dataclass(frozen=True, slots=True)
class Change:
    """What became of one row of the state.

    Attributes:
        place: the field, with the key where it has keys: `balance['ann']`.
        before, after: the values; `ABSENT` where there was none.
    """

    place: str
    before: Any
    after: Any

    def __str__(self) -> str:
        return f"{self.place}: {_whole_text(self.before)} -> {_whole_text(self.after)}"


def changes_of(definition: Definition, keyspace: Keyspace, base: Any, staged: Staged) -> tuple[Change, ...]:
    """What a transition staged, row by row in key order.

    Args:
        base: what `staged` reads through, which it has not been flushed to.
    """
    before = Staged(base)
    keys = {key for key in staged.written_keys() if key.startswith(keyspace.state)}
    for begin, end in staged.cleared_ranges():
        if begin.startswith(keyspace.state):
            keys.update(key for key, _ in before.rows(begin, end, limit=MOST_CLEARED))
    cut = len(keyspace.state)
    found = [(key[cut:], before.read(key), staged.read(key)) for key in sorted(keys)]
    return tuple(
        Change(place_of(definition.state_class, row), *(value_of(definition.state_class, row, data) for data in values))
        for row, *values in found
        if values[0] != values[1]
    )


# --------------------------------------------------------------------------------------------------- rows


def place_of(state: type[State], row: bytes) -> str:
    """The field and key of a row, which is given without the prefix of the state."""
    field, rest = _field_of(state, row)
    if field is None:
        return repr(row)
    if not rest:
        return field.name
    try:
        key = field.keys.unpack(rest) if isinstance(field, Map) else unpack(rest)
    except _UNREADABLE:
        key = rest
    return f"{field.name}[{_whole_text(key)}]"


def value_of(state: type[State], row: bytes, data: bytes | None) -> Any:
    """The value of a row; the stored bytes where they cannot be decoded."""
    field, _ = _field_of(state, row)
    if data is None:
        return ABSENT
    if isinstance(field, Counter):
        return decode_count(data)
    if not isinstance(field, Map | Value | Log) or not data or data[0] == MARKER:
        return data
    type_ = field.value_type if isinstance(field, Map) else field.type
    try:
        return Codec(type_, field.where).decode(data)
    except _UNREADABLE:
        return data


def row_text(state: type[State], suffix: bytes, data: bytes | None) -> str:
    """A row, given without the layer's prefix, and its value."""
    if not suffix.startswith(STATE):
        return f"a part of a large value at {suffix!r}: {'nothing' if data is None else f'{len(data)} bytes'}"
    row = suffix[len(STATE) :]
    return f"{place_of(state, row)} = {_whole_text(value_of(state, row, data))}"


def _whole_text(value: Any) -> str:
    """The value in words that are not cut before they fill many a page."""
    return shown(value, MOST_TEXT)


def _field_of(state: type[State], row: bytes) -> tuple[Field | None, bytes]:
    for field in state.fields.values():
        if row.startswith(field.packed_name):
            return field, row[len(field.packed_name) :]
    return None, row


# ------------------------------------------------------------------------------------------------ effects


def differences(
    definition: Definition, expected: tuple[Any, ...], found: Outcome, found_by: Definition | None = None
) -> tuple[list[str], list[str]]:
    """What two outcomes do not have in common, in lines: of the expected one, and of the one that was found.

    Args:
        expected: the summary of the outcome that was recorded.
        found_by: the machine that decided `found`, if it is another one.
    """
    other = found_by or definition
    if not isinstance(found, Effects) or len(expected) != len(found.summary()):
        return outcome_lines(definition, expected), outcome_lines(other, _whole(found))
    parts = [
        _unequal_lines(definition, other, number, one, whole)
        for number, (one, two, whole) in enumerate(zip(expected, found.summary(), _whole(found), strict=True))
        if one != two
    ]
    mine = [line for lines, _ in parts for line in lines]
    theirs = [line for _, lines in parts for line in lines]
    return _without(mine, theirs) or mine, _without(theirs, mine) or theirs


def _unequal_lines(
    definition: Definition, other: Definition, number: int, one: bytes, two: bytes
) -> tuple[list[str], list[str]]:
    """Two parts in lines; as they are stored, where they only differ in that."""
    mine, theirs = _part_lines(definition, number, one), _part_lines(other, number, two)
    if mine != theirs:
        return mine, theirs
    return [f"{PARTS[number]}, which are stored as {one!r}"], [f"{PARTS[number]}, which are stored as {two!r}"]


def outcome_lines(definition: Definition, summary: tuple[Any, ...]) -> list[str]:
    """An outcome in lines, from its summary or its whole parts."""
    if len(summary) == len(("kind", "reason")):
        return [f"refused: {summary[0]}: {summary[1]}"]
    return [line for number, part in enumerate(summary) for line in _part_lines(definition, number, part)]


def _whole(outcome: Outcome) -> tuple[Any, ...]:
    if isinstance(outcome, Refusal):
        return outcome.summary()
    return (outcome.reply, outcome.actions, outcome.writes)


def _without(lines: list[str], others: list[str]) -> list[str]:
    left = Multiset(lines) - Multiset(others)
    return [line for line in lines if line in left]


def _part_lines(definition: Definition, number: int, part: bytes) -> list[str]:
    name = PARTS[number]
    if part.startswith(DIGEST):
        return [f"{name}: too many to be kept in the journal; their digest is {part[len(DIGEST) :].hex()}"]
    try:
        raw = plain.from_bytes(part)
        return (_reply_lines, _action_lines, _write_lines)[number](definition, raw)
    except _UNREADABLE:
        return [f"{name}: {part!r}"]


def _reply_lines(definition: Definition, raw: Any) -> list[str]:
    return [f"reply {_whole_text(decoded(definition.replies, raw))}"]


def _action_lines(definition: Definition, raw: Any) -> list[str]:
    emitted, cancelled = raw
    return [
        *(_action_line(definition, action) for action in emitted),
        *(f"cancels {unpack(id)[0]!r}" for id in cancelled),
    ]


def _action_line(definition: Definition, action: list[Any]) -> str:
    kind, raw, *more = action
    codec = {"Tracked": definition.tracked, "Untracked": definition.untracked, "Later": definition.inputs}[kind]
    what = _whole_text(decoded(codec, raw))
    if kind == "Untracked":
        return f"emits Untracked({what})"
    packed_id, packed_key, after, at = more
    key = None if packed_key is None else unpack(packed_key)[0]
    given = {"ordering_key": key, "after": after, "at": at}
    options = "".join(f", {name}={value!r}" for name, value in given.items() if value is not None)
    return f"emits {kind}({unpack(packed_id)[0]!r}, {what}{options})"


def _write_lines(definition: Definition, raw: Any) -> list[str]:
    rows, cleared, added = raw
    state = definition.state_class
    return [
        *(f"clears from {place_of(state, begin[len(STATE) :])}" for begin, _ in cleared),
        *(f"writes {row_text(state, suffix, data)}" for suffix, data in rows),
        *(f"adds {delta} to {place_of(state, suffix[len(STATE) :])}" for suffix, delta in added),
    ]


def decoded(codec: Codec[Any], raw: Any) -> Any:
    """The value, or what is stored where this code does not know it."""
    try:
        return codec.from_raw(raw)
    except _UNREADABLE:
        return raw
