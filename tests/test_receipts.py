"""How long a receipt is kept: for its time by the clocks of writer and database, and as long as anything needs it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgpack
import pytest

import phasm_fdb
from phasm_fdb import (
    FDBError,
    Handlers,
    Layer,
    Map,
    Normal,
    State,
    StateMachine,
    Subspace,
    Tracked,
    Untracked,
    Worker,
    transactional,
)
from phasm_fdb.database.ranges import rows
from phasm_fdb.errors import InputFailed, OutcomeUnknown
from phasm_fdb.keys import unpack
from phasm_fdb.runtime import Retry

HOUR = 3600.0
DAY = 24 * HOUR


@dataclass(frozen=True)
class Deposit:
    user: str
    cents: int
    charge: bool = False


@dataclass(frozen=True)
class Charge:
    user: str


@dataclass(frozen=True)
class Charged:
    pass


@dataclass(frozen=True)
class Mail:
    user: str


class BankState(State):
    balance = Map(str, int)


class Bank(StateMachine):
    State, Input = BankState, Deposit
    TrackedAction, TrackedResult, UntrackedAction = Charge, Charged, Mail
    fails = False

    def stf(self, state: BankState, input: Any, actions: Any) -> int:
        match input:
            case Normal(Deposit(user, cents, charge)):
                state.balance[user] = state.balance.get(user, 0) + cents
                if self.fails:
                    raise RuntimeError("a bug")
                if charge:
                    actions.add(Tracked(actions.new_id(), Charge(user)))
                actions.add(Untracked(Mail(user)))
                return state.balance[user]
        return 0


@dataclass
class Bench:
    """A layer and its database, on one clock.

    Attributes:
        seconds: the time, of the database too.
        machine: may be told to fail.
    """

    seconds: float = 1_800_000_000.0
    machine: Bank = field(default_factory=Bank)
    subspace: Subspace = field(default_factory=lambda: Subspace(("bank",)))
    db: Any = None

    def layer(self, ahead: float = 0.0, ttl: float = 7 * DAY) -> Layer:
        """A layer of a process whose clock is ahead by so many seconds."""
        clock = lambda: self.seconds + ahead  # noqa: E731
        return Layer(self.machine, self.subspace, receipt_ttl_seconds=ttl, clock=clock, monotonic=lambda: self.seconds)

    def work(self, layer: Layer, request_id: Any) -> Any:
        """Run a worker until this input has its outcome, and give that."""

        async def run() -> Any:
            async with Worker(self.db, layer, Handlers(), clock=lambda: self.seconds):
                return await layer.outcome(self.db, request_id)

        return asyncio.run(run())

    def rows(self, kind: str) -> list[Any]:
        """The rows of a kind."""
        begin = self.subspace.pack((kind,))
        return list(rows(self.db.create_transaction(), begin, begin + b"\xff"))

    def kinds(self) -> set[str]:
        """The kinds of rows that there are."""
        prefix = self.subspace.key()
        found = rows(self.db.create_transaction(), prefix, prefix + b"\xff")
        return {unpack(key[len(prefix) :])[0] for key, _ in found}


@pytest.fixture(params=["memory", "sqlite"])
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    """An empty database whose versions follow the bench's clock; a cluster's cannot be told to."""
    bench = Bench()
    if request.param == "memory":
        bench.db = phasm_fdb.open("memory:", clock=lambda: bench.seconds)
    else:
        file = tmp_path / "bank.phasm"
        bench.db = phasm_fdb.open(f"embedded:{file}", synchronous="normal", wall_clock=lambda: bench.seconds)
    yield bench
    bench.db.close()


def test_receipts_expire_and_are_swept_in_batches(bench: Bench) -> None:
    bank, db = bench.layer(ttl=HOUR), bench.db
    for number in range(5):
        bank.apply(db, Deposit("ann", 1), request_id=number)
    bank.apply(db, Deposit("ann", 1))
    assert bank.sweep(db) == 0
    bench.seconds += HOUR
    assert bank.apply(db, Deposit("ann", 1), request_id=0).repeated, "kept for at least its time"
    bench.seconds += 2 * HOUR
    assert bank.sweep(db, batch=2) == 5
    assert not bank.apply(db, Deposit("ann", 1), request_id=0).repeated
    bench.seconds += 10 * HOUR
    assert bank.sweep(db) == 1
    bank.sweep(db)  # whose read version shows how late it is
    assert bench.kinds() == {"m", "s", "oz", "y"}, "no receipt of any kind is left"


@pytest.mark.parametrize("hours", [3, 24 * 30])
def test_a_process_whose_clock_is_ahead_sweeps_no_receipt_that_others_need(bench: Bench, hours: int) -> None:
    bank, ahead, db = bench.layer(), bench.layer(ahead=hours * HOUR), bench.db
    for number in range(5):
        bank.apply(db, Deposit("ann", 1), request_id=number)
    bench.seconds += HOUR
    assert ahead.sweep(db, batch=2) == 0
    assert bank.apply(db, Deposit("ann", 1), request_id=0).repeated


def test_a_sweep_before_the_first_input_leaves_nothing(bench: Bench) -> None:
    bank = bench.layer()
    assert bank.sweep(bench.db) == 0
    assert bank.apply(bench.db, Deposit("ann", 1)).reply == 1


def test_a_process_whose_clock_is_behind_leaves_them_to_others(bench: Bench) -> None:
    bank, behind, db = bench.layer(), bench.layer(ahead=-30 * DAY), bench.db
    bank.apply(db, Deposit("ann", 1), request_id=0)
    bench.seconds += 8 * DAY
    assert behind.sweep(db) == 0
    assert bank.sweep(db) == 1


class LostAnswer:
    """A database whose first commit of writes happens, while its answer says that nobody knows.

    Attributes:
        meanwhile: happens then; None once it has.
    """

    def __init__(self, db: Any, meanwhile: Callable[[], object]) -> None:
        self._db = db
        self.meanwhile: Callable[[], object] | None = meanwhile

    def create_transaction(self) -> Any:
        return _LostAnswer(self._db.create_transaction(), self)


class _LostAnswer:
    def __init__(self, tr: Any, database: LostAnswer) -> None:
        self._tr, self._database = tr, database

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tr, name)

    def commit(self) -> Any:
        future = self._tr.commit()
        future.wait()
        meanwhile = self._database.meanwhile
        if meanwhile is not None and self._tr.get_committed_version() != -1:
            self._database.meanwhile = None
            meanwhile()
            raise FDBError(1021)
        return future


def test_a_retry_finds_its_receipt_although_a_process_ahead_has_swept(bench: Bench) -> None:
    bank, db = bench.layer(), bench.db
    bank.apply(db, Deposit("ann", 1))

    def sweep() -> None:
        bench.layer(ahead=3 * HOUR).sweep(db)

    bank.apply(LostAnswer(db, sweep), Deposit("ann", 100))
    assert bank.view(db).balance["ann"] == 101


def test_a_retry_so_late_that_its_receipt_is_swept_does_not_apply_again(bench: Bench) -> None:
    bank, db = bench.layer(), bench.db
    bank.apply(db, Deposit("ann", 1))

    def sweep_late() -> None:
        bench.seconds += 3 * HOUR
        bank.sweep(db)
        bank.sweep(db)

    with pytest.raises(OutcomeUnknown, match="request_id") as caught:
        bank.apply(LostAnswer(db, sweep_late), Deposit("ann", 100))
    assert caught.value.maybe_committed
    assert bank.view(db).balance["ann"] == 101


def fail(bench: Bench, layer: Layer, request_id: str) -> None:
    """Submit an input on which the machine fails, so that it lies in the dead letters."""
    layer.submit(bench.db, Deposit("ann", 100), request_id=request_id)
    bench.machine.fails = True
    with pytest.raises(InputFailed):
        bench.work(layer, request_id)
    bench.machine.fails = False


def requeue_all(bench: Bench, layer: Layer) -> list[bool]:
    return [layer.requeue(bench.db, letter.stamp) for letter in layer.dead_letters(bench.db)]


def test_a_dead_inputs_receipt_does_not_expire(bench: Bench) -> None:
    bank, db = bench.layer(), bench.db
    fail(bench, bank, "pay-1")
    bench.seconds += 30 * DAY
    bank.sweep(db)
    with pytest.raises(InputFailed):
        bank.apply(db, Deposit("ann", 100), request_id="pay-1")
    assert requeue_all(bench, bank) == [True]
    bank.sweep(db)
    bank.submit(db, Deposit("ann", 100), request_id="pay-1")
    assert bench.work(bank, "pay-1").reply == 100
    assert bank.view(db).balance["ann"] == 100


def test_a_requeued_input_has_a_receipt_of_full_length(bench: Bench) -> None:
    bank, db = bench.layer(), bench.db
    fail(bench, bank, "pay-2")
    bench.seconds += 7 * DAY - HOUR
    requeue_all(bench, bank)
    bench.work(bank, "pay-2")
    bench.seconds += 3 * HOUR
    bank.sweep(db)
    assert bank.apply(db, Deposit("ann", 100), request_id="pay-2").repeated
    bench.seconds += 8 * DAY
    assert bank.sweep(db) == 1


def test_a_dead_input_that_was_applied_meanwhile_is_not_requeued(bench: Bench) -> None:
    """As where older code let the receipt of a failure expire."""
    bank, db = bench.layer(), bench.db
    fail(bench, bank, "pay-3")
    del db[bank.keyspace.receipt(bench.subspace.pack(("pay-3",))[len(bench.subspace.key()) :])]
    bank.apply(db, Deposit("ann", 100), request_id="pay-3")
    assert requeue_all(bench, bank) == [False]
    assert bank.dead_letters(db) == []
    assert bench.rows("q") == []
    assert bank.apply(db, Deposit("ann", 100), request_id="pay-3").repeated


def test_the_receipt_of_a_discarded_input_expires(bench: Bench) -> None:
    bank, db = bench.layer(), bench.db
    fail(bench, bank, "pay-4")
    bench.seconds += 30 * DAY
    [letter] = bank.dead_letters(db)
    assert bank.discard(db, letter.stamp)
    assert bank.sweep(db) == 0
    with pytest.raises(InputFailed):
        bank.apply(db, Deposit("ann", 100), request_id="pay-4")
    bench.seconds += 8 * DAY
    assert bank.sweep(db) == 1
    assert bank.apply(db, Deposit("ann", 100), request_id="pay-4").reply == 100


def test_a_receipt_is_kept_while_an_action_of_its_input_is_pending_or_dead(bench: Bench) -> None:
    bank, db, handlers = bench.layer(), bench.db, Handlers()

    @handlers.on(Charge, retry=Retry(max_attempts=1))
    def charge(action: Charge, attempt: Any) -> Charged:
        raise ConnectionError("down")

    (action,) = bank.apply(db, Deposit("ann", 100, charge=True), request_id="pay-5").tracked
    bench.seconds += 9 * DAY
    assert bank.sweep(db) == 0, "it is pending"
    assert bank.apply(db, Deposit("ann", 100, charge=True), request_id="pay-5").repeated

    async def give_up() -> None:
        async with Worker(db, bank, handlers, clock=lambda: bench.seconds) as worker:
            while not worker.counts.get("dead_letters"):
                await asyncio.sleep(0)

    asyncio.run(give_up())
    bench.seconds += 9 * DAY
    assert bank.sweep(db) == 0, "it lies in the dead letters"
    assert requeue_all(bench, bank) == [True]
    assert bank.sweep(db) == 0
    bank.complete(db, action.id, Charged())
    bench.seconds += 9 * DAY
    assert bank.sweep(db) == 1
    assert bench.rows("y") == [(bank.keyspace.dead_ids, b"")]


def test_letters_that_older_code_wrote_are_counted_once(bench: Bench) -> None:
    bank, db = bench.layer(), bench.db
    fail(bench, bank, "pay-6")
    [(key, value)] = bench.rows("d")
    db[key] = msgpack.packb(msgpack.unpackb(value)[:8])  # as it was written before
    for counter, _ in bench.rows("y"):
        del db[counter]
    for _ in range(2):
        bank.sweep(db)
        assert len(bench.rows("y")) == 2
    requeue_all(bench, bank)
    assert bench.work(bank, "pay-6").reply == 100
    assert len(bench.rows("y")) == 1


def test_repeats_in_one_transaction_and_in_one_batch_give_the_first_outcome(bench: Bench) -> None:
    bank, db = bench.layer(), bench.db

    @transactional
    def twice(tr: Any) -> list[Any]:
        return [bank.apply(tr, Deposit("ann", 1, charge=True), request_id="a") for _ in range(2)]

    first, second = twice(db)
    assert (second.reply, second.tracked, second.repeated) == (first.reply, first.tracked, True)
    bench.machine.fails = True
    bank.submit(db, Deposit("bob", 1, charge=True), request_id="b")
    with pytest.raises(InputFailed):
        bench.work(bank, "b")
    bench.machine.fails = False
    [letter] = bank.dead_letters(db)
    bank.requeue(db, letter.stamp)
    begin = bank.keyspace.all_inbox
    [(key, value)] = rows(db.create_transaction(), begin, begin + b"\xff")
    db[key[:-1] + b"\x07"] = value  # the same request twice in the inbox, as older code could leave it
    assert bench.work(bank, "b").reply == 1
    assert bank.view(db).balance["bob"] == 1
    assert len(list(bank.pending(db))) == 2


def test_untracked_actions_are_handed_out_once(bench: Bench) -> None:
    bank, db = bench.layer(), bench.db
    assert bank.apply(db, Deposit("ann", 1), request_id="a").untracked == (Untracked(Mail("ann")),)
    assert bank.apply(db, Deposit("ann", 1), request_id="a").untracked == ()

    def nothing() -> None:
        pass

    after_lost_answer = bank.apply(LostAnswer(db, nothing), Deposit("ann", 1), request_id="b")
    assert after_lost_answer.untracked == (Untracked(Mail("ann")),), "nobody had them yet"
    assert bank.apply(db, Deposit("ann", 1), request_id="b").untracked == ()
    assert bank.apply(LostAnswer(db, nothing), Deposit("ann", 1)).untracked == (Untracked(Mail("ann")),)
