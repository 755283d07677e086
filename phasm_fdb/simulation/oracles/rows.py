"""The stored rows: each decodes, and encodes to the same bytes again; and at rest none is left over."""

from __future__ import annotations

from collections.abc import Callable

from phasm_fdb.errors import InvariantViolation
from phasm_fdb.fields.cells import MARKER, PART_NUMBER_BYTES
from phasm_fdb.fields.index import Index
from phasm_fdb.fields.log import Log
from phasm_fdb.fields.map import Map
from phasm_fdb.fields.value import Value
from phasm_fdb.inbox import Inbox
from phasm_fdb.layer import Layer
from phasm_fdb.records import Record
from phasm_fdb.simulation.oracles.oracle import Oracle
from phasm_fdb.simulation.workload import Workload
from phasm_fdb.simulation.world.commit import Commit
from phasm_fdb.simulation.world.inspector import SUBSPACE, Inspector, make_machine


class Stored(Oracle):
    """Reads every row that a commit wrote as the next reader of it would."""

    def __init__(self, inspector: Inspector) -> None:
        super().__init__(inspector)
        state = inspector.keyspace.state
        self._fields = [
            (state + field.packed_name, field) for field in inspector.definition.state_class.fields.values()
        ]

    def committed(self, commit: Commit) -> None:
        for row, data in commit.of("s").items():
            if data is not None:
                self._check_state(row, data)
        definition = self.inspector.definition
        for row, data in commit.of("a").items():
            if data is not None:
                raw = Record.decode(data).raw
                self._compare(row, raw, definition.tracked.to_raw(definition.tracked.from_raw(raw)))
        for row, data in commit.of("q").items():
            if data is not None:
                raw = Inbox.decode(row, data).raw
                self._compare(row, raw, definition.inputs.to_raw(definition.inputs.from_raw(raw)))

    def _check_state(self, row: bytes, data: bytes) -> None:
        for prefix, field in self._fields:
            if not row.startswith(prefix):
                continue
            key = row[len(prefix) :]
            if isinstance(field, Map):
                self._compare(row, key, field.keys.pack(field.keys.unpack(key)))
            if isinstance(field, Map | Value) and data[0] != MARKER:
                value = field.cells.decode(None, row, data)  # type: ignore[arg-type]
                self._compare(row, data, field.cells.encode(row, value))
            elif isinstance(field, Log):
                self._compare(row, data, field.codec.encode(field.codec.decode(data)))
            elif isinstance(field, Index) and data:
                self._compare(row, data, b"")
            return

    @staticmethod
    def _compare(row: bytes, stored: object, again: object) -> None:
        if stored != again:
            raise InvariantViolation(
                f"stored as it was: the row {row!r} holds {stored!r}, which is read and written again as {again!r}"
            )


#: The sections of the keyspace that hold rows of what is pending, and of nothing else.
_OF_PENDING = {
    "a": "the outbox",
    "n": "attempts",
    "q": "the inbox",
    "t": "timers",
    "i": "ids",
    "v": "places of ids",
    "x": "what died before it was committed",
}


class Leftovers(Oracle):
    """Sweeps at rest, and looks at what is there."""

    def __init__(self, inspector: Inspector, workload: Workload, clock: Callable[[], float]) -> None:
        super().__init__(inspector)
        self._layer = Layer(make_machine(workload), SUBSPACE, clock=clock)

    def at_rest(self) -> None:
        self._layer.sweep(self.inspector.database())
        rows: dict[str, list[tuple[bytes, bytes]]] = {}
        keys = self.inspector.keyspace
        for key, value in self.inspector.snapshot().range(keys.prefix, keys.end, 2**62, False):
            rows.setdefault(chr(key[len(keys.prefix) + 1]), []).append((key, value))
        for section, name in _OF_PENDING.items():
            if section in rows:
                found = rows[section]
                raise InvariantViolation(f"nothing is left over: {len(found)} rows of {name} at rest: {found[:3]}")
        split = {key[len(keys.state) :] for key, value in rows.get("s", ()) if value[:1] == bytes([MARKER])}
        for key, _ in rows.get("b", ()):
            if key[len(keys.overflow) : -PART_NUMBER_BYTES] not in split:
                raise InvariantViolation(f"nothing is left over: {key!r} is a part of a value that is not there")
