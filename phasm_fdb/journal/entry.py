"""One record of the journal."""

from __future__ import annotations

import zlib
from typing import Any, Literal, NamedTuple

from phasm_fdb import codec, plain
from phasm_fdb.definition import Definition
from phasm_fdb.effects import Effects, Outcome
from phasm_fdb.errors import CodecError, DamagedHistory, ReplayError, shown
from phasm_fdb.keys import pack_element, unpack_element
from phasm_fdb.machine import Input, Normal, TrackedActionCompleted

Kind = Literal["input", "completion", "on", "migrated"]

CHECKSUM_BYTES = 4

NONE = type(None)
#: What the record of an input holds. Times were not checked when the first ones were written.
_INPUT: tuple[plain.Kinds, ...] = ((int, float, NONE), (bytes,), None, (bool,), (list,), (int,))
#: What any other record holds.
_MARK: tuple[plain.Kinds, ...] = ((int,), (bool,), (int,))


class Entry(NamedTuple):
    """What happened to the state at one versionstamp.

    Attributes:
        kind: "input" or "completion" for what the machine decided; "on" where the journal was switched on, and
            "migrated" where a batch of a migration changed the state.
        number: the last two bytes of the versionstamp. The numbers behind it belong to what the input led to.
        at: the time of the input, in milliseconds since the epoch.
        packed_id: the request id, or the id of the completed action.
        raw: the payload or result, undecoded: it may be of a type that only another version of the code knows.
        applied: the machine took it; False if it refused it.
        summary: of its effects, as `Outcome.summary` gives it.
        schema: of the state, for "on"; the one that it was migrated from, for "migrated".
        empty: for "on": there was no state then, so that a replay can begin here.
        before: for "on": the sum of all entries before this one.
        format: in which format (`phasm_fdb.codec.FORMAT`) the values are that the summary is of.
    """

    kind: Kind
    number: int
    at: int | None = None
    packed_id: bytes = b""
    raw: Any = None
    applied: bool = False
    summary: tuple[Any, ...] = ()
    schema: int = 0
    empty: bool = False
    before: int = 0
    format: int = codec.FORMAT

    @classmethod
    def of(cls, number: int, input: Input, raw: Any, outcome: Outcome) -> Entry:
        """The record of an input, of which `raw` is what it was before the machine had it."""
        applied, summary = isinstance(outcome, Effects), outcome.summary()
        if isinstance(input, TrackedActionCompleted):
            return cls("completion", number, input.at, pack_element(input.id), raw, applied, summary)
        return cls("input", number, input.at, pack_element(input.request_id), raw, applied, summary)

    def input(self, definition: Definition) -> Input:
        """The input again, exactly as the machine got it; raises a CodecError if the machine knows no such type."""
        id = unpack_element(self.packed_id)
        if self.kind == "completion":
            return TrackedActionCompleted(id, definition.results.from_raw(self.raw), self.at)
        return Normal(definition.inputs.from_raw(self.raw), self.at, id)

    def encode(self) -> bytes:
        """Its bytes, which begin with their checksum."""
        fields: tuple[Any, ...]
        if self.kind in ("input", "completion"):
            fields = (*self[:7], self.format)  # up to the summary
        else:
            fields = (self.kind, self.number, self.schema, self.empty, self.before)
        data = plain.to_bytes(fields)
        return zlib.crc32(data).to_bytes(CHECKSUM_BYTES, "big") + data

    @classmethod
    def decode(cls, data: bytes) -> Entry:
        """The entry of these bytes.

        Raises:
            DamagedHistory: they are not as they were written.
            ReplayError: newer code wrote them.
        """
        checksum, body = data[:CHECKSUM_BYTES], data[CHECKSUM_BYTES:]
        if zlib.crc32(body).to_bytes(CHECKSUM_BYTES, "big") != checksum:
            raise DamagedHistory("a journal entry is not as it was written: its checksum is wrong")
        try:
            return cls._of_items(plain.from_bytes(body))
        except CodecError as error:
            raise DamagedHistory(f"a journal entry is not one of ours: {error}") from error

    @classmethod
    def _of_items(cls, items: Any) -> Entry:
        if type(items) is not list or len(items) < 2 or type(items[1]) is not int:
            raise CodecError(f"{shown(items)} is no list that begins with a kind and a number")
        kind, number, *fields = items
        if kind in ("input", "completion"):
            plain.check_list(fields, _INPUT, optional=1)
            at, packed_id, raw, applied, summary, *format = fields
            plain.check_list(summary, [(bytes,)] * 3 if applied else [(str,)] * 2)
            entry = cls(kind, number, at, packed_id, raw, applied, tuple(summary), format=format[0] if format else 1)
            if entry.format > codec.FORMAT:
                raise ReplayError(f"a journal entry has format {entry.format}, of newer code: upgrade this one")
            return entry
        if kind not in ("on", "migrated"):
            raise CodecError(f"there is no kind {shown(kind)} of entries")
        plain.check_list(fields, _MARK)
        schema, empty, before = fields
        return cls(kind, number, schema=schema, empty=empty, before=before)


def raw_of(definition: Definition, input: Input) -> Any:
    """What an input carries, as plain lists, maps and scalars of its own."""
    if isinstance(input, TrackedActionCompleted):
        return definition.results.to_raw(input.result)
    return definition.inputs.to_raw(input.payload)


def weight(data: bytes) -> int:
    """What an entry adds to the sum of all entries: one, and above that its checksum."""
    return int.from_bytes(data[:CHECKSUM_BYTES], "big") << 32 | 1
