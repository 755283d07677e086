"""What the oracles see that no planted fault shows, and when they look."""

from __future__ import annotations

import pytest

from phasm_fdb import Actions, InvariantViolation, Normal, Tracked, TransitionError
from phasm_fdb.embedded.memory_store import MemoryStore
from phasm_fdb.keys import pack_element
from phasm_fdb.simulation import simulate
from phasm_fdb.simulation.oracles import Oracles
from phasm_fdb.simulation.oracles.pending import Pending
from phasm_fdb.simulation.trace import Trace
from phasm_fdb.simulation.world.commit import Commit, StfRun
from phasm_fdb.simulation.world.inspector import Inspector
from tests.simulation import machines, theatre


class OldTheatre(theatre.Theatre):
    """The version before: nothing could be cancelled."""

    name = "Theatre"
    Input = theatre.Reserve | theatre.Remind
    TrackedAction = theatre.Charge | theatre.CheckCharge
    TrackedResult = theatre.Paid | theatre.Declined | theatre.NotCharged

    def restore(self, state: theatre.TheatreState, actions: Actions) -> None:
        for number in state.by_status.keys(theatre.Status.CHARGING):
            user = state.bookings[number].user
            actions.add(Tracked(("charge", number), theatre.CheckCharge(number), ordering_key=user))


class Upgraded(theatre.TheatreWorkload):
    old_machine = OldTheatre


def test_an_old_machine_runs_beside_the_new_one() -> None:
    faults = {"old version": 0.5, "crash": 0.05}
    result = simulate(Upgraded, seed=2, ops=200, workers=4, faults=faults, keep_events=True)
    assert result.violations == ()
    assert result.counts["action Refund"] > 0
    started = [event.details["machine"] for event in result.events if event.kind == "restart"]
    assert set(started) == {"Theatre", "OldTheatre"}


def test_an_action_that_no_input_emitted_is_noticed() -> None:
    store = MemoryStore(lambda: 0.0)
    inspector = Inspector(machines.ShopWorkload(), store)
    before = inspector.snapshot()
    inspector.layer.apply(inspector.database(), machines.Buy(1))
    row = inspector.keyspace.id_row(pack_element(1))
    refused = StfRun(Normal(machines.Buy(1)), error=TransitionError("no"))
    rows: dict[str, dict[bytes, bytes | None]] = {"i": {row: before.get(row) or b"somewhere"}}
    commit = Commit(1, "client 1", bytes(10), [refused], before, inspector.snapshot(), rows, [])
    with pytest.raises(InvariantViolation, match="stored before emitted: 1 is pending, and nothing emitted it"):
        Pending(inspector, Trace()).committed(commit)


def test_a_row_that_died_in_its_own_transaction_is_not_due() -> None:
    inspector = Inspector(machines.ShopWorkload(), MemoryStore(lambda: 0.0))
    tr = inspector.database().create_transaction()
    inspector.layer.apply(tr, machines.Buy(1))
    inspector.layer.complete(tr, 1, machines.Shipped())
    tr.commit().wait()
    assert list(inspector.snapshot().range(inspector.keyspace.outbox, inspector.keyspace.outbox + b"\xff", 9, False))
    assert inspector.next_due_ms() is None
    assert not inspector.is_anything_pending() and inspector.count_pending() == 0


def test_everything_is_looked_at_after_crashes(monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[int] = []
    look = Oracles.look

    def counted(self: Oracles) -> None:
        looks.append(1)
        look(self)

    monkeypatch.setattr(Oracles, "look", counted)
    numbers: list[int] = []
    for faults in ({}, {"crash": 0.2}):
        looks.clear()
        assert simulate(machines.ShopWorkload, seed=1, ops=1000, workers=2, faults=faults).held
        numbers.append(len(looks))
    assert numbers[1] > numbers[0]
