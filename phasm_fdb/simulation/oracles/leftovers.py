"""Nothing is left over: when all has ended and was swept, there are no rows of what is gone."""

from __future__ import annotations

from collections.abc import Callable

from phasm_fdb.errors import InvariantViolation
from phasm_fdb.fields.cells import MARKER, PART_NUMBER_BYTES
from phasm_fdb.layer import Layer
from phasm_fdb.simulation.inspector import SUBSPACE, Inspector, make_machine
from phasm_fdb.simulation.oracles.oracle import Oracle
from phasm_fdb.simulation.workload import Workload

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
