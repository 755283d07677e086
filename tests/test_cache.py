"""Values kept in memory: fewer reads, and never a commit that is based on a stale one."""

from __future__ import annotations

import multiprocessing
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import phasm_fdb
from phasm_fdb import Layer, MachineDefinitionError, Map, Normal, State, StateMachine, Subspace, TransitionError, Value
from phasm_fdb.database.waiting import wait
from tests.machines import Deposit, InsufficientFunds, Pay, Wallet


@dataclass(frozen=True)
class Add:
    key: str
    amount: int
    most: int = 10**9


class TotalState(State):
    totals = Map(str, int)
    step = Value(int, 1)


class TooMuch(TransitionError):
    pass


class Totals(StateMachine):
    State = TotalState
    Input = Add

    def stf(self, state: Any, input: Any, actions: Any) -> int:
        match input:
            case Normal(Add(key, amount, most)):
                total: int = state.totals.get(key, 0) + amount * state.step.get()
                if total > most:
                    raise TooMuch(total)
                state.totals[key] = total
                return total
            case _:
                raise AssertionError


class Counting:
    """A database that counts what its transactions ask for."""

    def __init__(self, db: Any) -> None:
        self.db = db
        self.reads: list[bytes] = []
        self.conflicts = 0

    def create_transaction(self) -> Any:
        return CountingTransaction(self, self.db.create_transaction())


class CountingTransaction:
    def __init__(self, owner: Counting, tr: Any) -> None:
        self.owner, self.tr = owner, tr

    def get(self, key: bytes) -> Any:
        self.owner.reads.append(key)
        return self.tr.get(key)

    def on_error(self, error: Any) -> Any:
        self.owner.conflicts += 1
        return self.tr.on_error(error)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.tr, name)


@pytest.fixture
def counting(db: Any) -> Counting:
    return Counting(db)


def test_a_hot_key_is_not_read_again(counting: Counting, subspace: Subspace) -> None:
    layer = Layer(Totals(), subspace, cache=100)
    for number in range(1, 6):
        assert layer.apply(counting, Add("hot", 1)).reply == number
    hot = [key for key in counting.reads if b"totals" in key]
    assert len(hot) == 1
    assert counting.conflicts == 0
    assert Layer(Totals(), subspace).view(counting).totals["hot"] == 5


def test_a_value_that_another_writer_changed_makes_the_commit_conflict(counting: Counting, subspace: Subspace) -> None:
    mine, other = Layer(Totals(), subspace, cache=100), Layer(Totals(), subspace)
    mine.apply(counting, Add("a", 1))
    other.apply(counting.db, Add("a", 10))
    assert mine.apply(counting, Add("a", 1)).reply == 12
    assert counting.conflicts == 1
    assert mine.apply(counting, Add("a", 1)).reply == 13
    assert counting.conflicts == 1


def test_a_value_that_was_only_read_is_still_checked(counting: Counting, subspace: Subspace) -> None:
    layer = Layer(Totals(), subspace, cache=100)
    layer.apply(counting, Add("a", 1))
    layer.apply(counting, Add("a", 1))

    @phasm_fdb.transactional
    def change_step(tr: Any) -> None:
        state: Any = TotalState.over(tr, subspace)
        state.step.set(100)
        state.flush(tr)

    change_step(counting.db)
    assert layer.apply(counting, Add("a", 1)).reply == 102


def test_a_rejection_is_decided_on_values_of_the_database(counting: Counting, subspace: Subspace) -> None:
    """A rejection commits nothing, so no conflict would show that it rests on a stale value."""
    mine, other = Layer(Totals(), subspace, cache=100), Layer(Totals(), subspace)
    mine.apply(counting, Add("a", 90))
    other.apply(counting.db, Add("a", -80))
    assert mine.apply(counting, Add("a", 20, most=100)).reply == 30
    with pytest.raises(TooMuch):
        mine.apply(counting, Add("a", 80, most=100))


def test_values_expire_before_the_window_of_five_seconds(counting: Counting, subspace: Subspace) -> None:
    now = [0.0]
    layer = Layer(Totals(), subspace, cache=100, monotonic=lambda: now[0])
    layer.apply(counting, Add("a", 1))
    now[0] += 10
    counting.reads.clear()
    layer.apply(counting, Add("a", 1))
    assert [key for key in counting.reads if b"totals" in key], "read again"


def test_the_cache_keeps_to_its_capacity(counting: Counting, subspace: Subspace) -> None:
    layer = Layer(Totals(), subspace, cache=4)
    for number in range(10):
        layer.apply(counting, Add(f"key {number}", 1))
    counting.reads.clear()
    layer.apply(counting, Add("key 9", 1))
    assert not [key for key in counting.reads if b"totals" in key]
    layer.apply(counting, Add("key 0", 1))
    assert [key for key in counting.reads if b"totals" in key]
    with pytest.raises(MachineDefinitionError, match="cache is -1"):
        Layer(Totals(), subspace, cache=-1)


def test_writers_of_a_cached_layer_conflict_also_where_they_did_not_read(db: Any, subspace: Subspace) -> None:
    """Two commits of one batch share a version, so a blind write behind mine would go unseen by my next one."""

    class Blind(Totals):
        name = "Totals"

        def stf(self, state: Any, input: Any, actions: Any) -> Any:
            state.totals["a"] = input.payload.amount
            return None

    blind = Layer(Blind(), subspace)
    Layer(Totals(), subspace).apply(db, Add("b", 1))

    def two_at_once() -> int:
        transactions = [db.create_transaction() for _ in range(2)]
        for tr in transactions:
            blind.apply(tr, Add("a", 1))
        transactions[0].commit().wait()
        try:
            wait(transactions[1].commit())
        except phasm_fdb.FDBError as error:
            return error.code
        return 0

    assert two_at_once() == 0
    Layer(Totals(), subspace, cache=1).apply(db, Add("b", 1))
    assert two_at_once() == 1020


def test_the_same_outcomes_with_and_without(memory: Any) -> None:
    plain, cached = Layer(Wallet(), ("plain",)), Layer(Wallet(), ("cached",), cache=50)
    for layer in (plain, cached):
        layer.apply(memory, Deposit("ann", 100), request_id="d")
        layer.apply(memory, Deposit("ann", 100), request_id="d")
        for _ in range(3):
            layer.apply(memory, Pay("ann", 30))
        with pytest.raises(InsufficientFunds):
            layer.apply(memory, Pay("ann", 30))
    assert list(plain.pending(memory)) == list(cached.pending(memory))
    assert dict(plain.view(memory).balance.items()) == dict(cached.view(memory).balance.items())


def test_threads_that_race_on_one_key_lose_no_update(db: Any, subspace: Subspace) -> None:
    layers = [Layer(Totals(), subspace, cache=100), Layer(Totals(), subspace, cache=100), Layer(Totals(), subspace)]

    def work(layer: Layer) -> None:
        for _ in range(15):
            layer.apply(db, Add("hot", 1))

    threads = [threading.Thread(target=work, args=(layer,)) for layer in layers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert layers[0].view(db).totals["hot"] == 45


def race(url: str, prefix: bytes, count: int) -> None:
    db = phasm_fdb.open(url)
    layer = Layer(Totals(), Subspace((), prefix), cache=100)
    for _ in range(count):
        layer.apply(db, Add("hot", 1))


def test_processes_that_race_on_one_key_lose_no_update(tmp_path: Path) -> None:
    url = f"embedded:{tmp_path / 'race.phasm'}?synchronous=normal"
    prefix = Subspace(("race",)).key()
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=race, args=(url, prefix, 40)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    assert Layer(Totals(), Subspace((), prefix)).view(phasm_fdb.open(url)).totals["hot"] == 80


def test_a_value_that_is_read_before_a_cached_one_sets_the_version(counting: Counting, subspace: Subspace) -> None:
    """A miss takes the read version from the database; what is cached has to fit that, or is read too."""

    class Two(Totals):
        name = "Totals"

        def stf(self, state: Any, input: Any, actions: Any) -> int:
            for key in (input.payload.key, "hot"):
                state.totals[key] = state.totals.get(key, 0) + 1
            return state.totals["hot"]  # type: ignore[no-any-return]

    layer, other = Layer(Two(), subspace, cache=100), Layer(Totals(), subspace)
    for number in range(1, 5):
        assert layer.apply(counting, Add(f"new {number}", 1), request_id=number).reply == number
        assert layer.apply(counting, Add(f"new {number}", 1), request_id=number).reply == number
    other.apply(counting.db, Add("hot", 100))
    assert layer.apply(counting, Add("new", 1)).reply == 105
