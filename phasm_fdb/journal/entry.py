"""One record of the journal."""

from __future__ import annotations

import zlib
from typing import Any, Literal, NamedTuple

import msgpack

from phasm_fdb.deciding import Input
from phasm_fdb.definition import Definition
from phasm_fdb.effects import Effects, Outcome
from phasm_fdb.errors import CodecError, DamagedHistory
from phasm_fdb.keys import pack_element, unpack
from phasm_fdb.machine import Normal, TrackedActionCompleted

Kind = Literal["input", "completion", "on", "migrated"]

CHECKSUM_BYTES = 4


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

    @classmethod
    def of(cls, number: int, input: Input, raw: Any, outcome: Outcome) -> Entry:
        """The record of an input, of which `raw` is what it was before the machine had it."""
        applied, summary = isinstance(outcome, Effects), outcome.summary()
        if isinstance(input, TrackedActionCompleted):
            return cls("completion", number, input.at, pack_element(input.id), raw, applied, summary)
        return cls("input", number, input.at, pack_element(input.request_id), raw, applied, summary)

    def input(self, definition: Definition) -> Input:
        """The input again, exactly as the machine got it; raises a CodecError if the machine knows no such type."""
        id = unpack(self.packed_id)[0]
        if self.kind == "completion":
            return TrackedActionCompleted(id, definition.results.from_raw(self.raw), self.at)
        return Normal(definition.inputs.from_raw(self.raw), self.at, id)

    def encode(self) -> bytes:
        """Its bytes, which begin with their checksum; raises a CodecError if the input cannot be encoded."""
        fields: tuple[Any, ...]
        if self.kind in ("input", "completion"):
            fields = self[:7]  # up to the summary
        else:
            fields = (self.kind, self.number, self.schema, self.empty, self.before)
        try:
            data = bytes(msgpack.packb(fields))
        except (ValueError, OverflowError) as error:  # a UnicodeEncodeError is a ValueError
            raise CodecError(f"the input {self.raw!r} cannot be written to the journal: {error}") from error
        return zlib.crc32(data).to_bytes(CHECKSUM_BYTES, "big") + data

    @classmethod
    def decode(cls, data: bytes) -> Entry:
        """The entry of these bytes; raises DamagedHistory if they are not as they were written."""
        checksum, body = data[:CHECKSUM_BYTES], data[CHECKSUM_BYTES:]
        if zlib.crc32(body).to_bytes(CHECKSUM_BYTES, "big") != checksum:
            raise DamagedHistory("a journal entry is not as it was written: its checksum is wrong")
        kind, number, *fields = msgpack.unpackb(body, strict_map_key=False)
        if kind in ("input", "completion"):
            at, packed_id, raw, applied, summary = fields
            return cls(kind, number, at, packed_id, raw, applied, tuple(summary))
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
