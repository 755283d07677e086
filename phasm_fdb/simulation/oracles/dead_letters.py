"""An input does not make the machine fail: those that do lie among the dead letters."""

from __future__ import annotations

import msgpack

from phasm_fdb.errors import InvariantViolation
from phasm_fdb.simulation.commit import Commit
from phasm_fdb.simulation.oracles.oracle import Oracle


class DeadInputs(Oracle):
    """Looks at new dead letters. An action may be given up, as its handler's policy says; an input never is."""

    def committed(self, commit: Commit) -> None:
        for row in commit.of("d").values():
            if row is None:
                continue
            _, raw, _, is_input, _, _, cause, *_ = msgpack.unpackb(row, strict_map_key=False)
            if is_input:
                payload = self.inspector.definition.inputs.from_raw(raw)
                raise InvariantViolation(
                    f"inputs are applied: {payload!r} made the machine fail: {cause}", input=payload
                )
