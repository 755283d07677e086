"""`restore` names exactly what is pending: its ids are the outbox's, at every commit."""

from __future__ import annotations

from phasm_fdb.errors import InvariantViolation
from phasm_fdb.keys import pack_element, unpack
from phasm_fdb.machine import StateMachine
from phasm_fdb.simulation.inspector import Inspector
from phasm_fdb.simulation.oracles.oracle import Oracle


class Restoring(Oracle):
    """Compares what `restore` names with what is pending.

    An id that `restore` leaves out runs as it was, so a machine may well name some only; a workload says so with
    `restores_all = False`. An id that is not pending is wrong in any case: it would be done once more.
    """

    def __init__(self, inspector: Inspector, restores_all: bool) -> None:
        super().__init__(inspector)
        machine = type(inspector.definition.machine)
        self._is_default = machine.restore is StateMachine.restore
        self._restores_all = restores_all

    def now_and_then(self) -> None:
        if self._is_default:
            return
        snapshot = self.inspector.snapshot()
        named = set(self.inspector.restored(snapshot))
        pending = {pack_element(action.id) for action in self.inspector.pending(snapshot)}
        unknown = sorted(named - pending)
        if unknown:
            raise InvariantViolation(
                f"restore names what is pending: it names {_ids(unknown)}, which are not pending: they were not stored "
                "when they were emitted, or have been completed"
            )
        left_out = sorted(pending - named)
        if left_out and self._restores_all:
            raise InvariantViolation(
                f"restore names what is pending: it leaves out {_ids(left_out)}; "
                "if that is meant, say `restores_all = False` on the workload"
            )

    def at_rest(self) -> None:
        self.now_and_then()


def _ids(packed: list[bytes]) -> list[object]:
    return [unpack(one)[0] for one in packed[:5]]
