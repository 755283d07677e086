"""A request id is applied once: repeated, with an unknown commit, whatever became of the first attempt."""

from __future__ import annotations

from typing import Any

import pytest

from phasm_fdb import (
    Applied,
    FDBError,
    InputError,
    Layer,
    Normal,
    Subspace,
    Tracked,
    Untracked,
    transactional,
)
from tests.machines import (
    Charge,
    Declined,
    Deposit,
    Notify,
    Pay,
    Wallet,
)


def test_a_repeated_request_id_returns_the_first_outcome(db: Any, wallets: Layer) -> None:
    wallets.apply(db, Deposit("ann", 500), request_id="d")
    first = wallets.apply(db, Pay("ann", 200), request_id=("cart", 7))
    again = wallets.apply(db, Pay("ann", 200), request_id=("cart", 7))
    assert again.repeated
    assert (again.reply, again.tracked) == (first.reply, first.tracked)
    assert first.untracked and not again.untracked, "untracked actions are handed out once"
    assert wallets.view(db).balance["ann"] == 300
    assert len(list(wallets.pending(db))) == 1
    other = Layer(Wallet(), Subspace((), wallets.keyspace.prefix))
    assert other.apply(db, Pay("ann", 200), request_id=("cart", 7)).repeated


def test_a_repeated_request_id_inside_one_transaction(db: Any, wallets: Layer) -> None:
    wallets.apply(db, Deposit("ann", 500))

    @transactional
    def body(tr: Any) -> tuple[Applied, Applied]:
        return wallets.apply(tr, Pay("ann", 200), "r"), wallets.apply(tr, Pay("ann", 200), "r")

    first, second = body(db)
    assert (first.repeated, second.repeated) == (False, True)
    assert second.tracked == first.tracked
    assert wallets.view(db).balance["ann"] == 300
    assert wallets.apply(db, Pay("ann", 200), "r").repeated


class UnknownResult:
    """A database whose first commits apply and then say 1021, as a lost reply does."""

    def __init__(self, db: Any, times: int, applied: bool) -> None:
        self.db, self.times, self.applied = db, times, applied

    def create_transaction(self) -> Any:
        tr = self.db.create_transaction()
        commit = tr.commit

        def unknown() -> Any:
            if self.times == 0:
                return commit()
            self.times -= 1
            if self.applied:
                commit().wait()
            raise FDBError(1021)

        tr.commit = unknown
        return tr


class Patchable:
    """Gives a slotted transaction attributes that a test can replace."""

    def __init__(self, tr: Any) -> None:
        self.__dict__["tr"] = tr

    def __getattr__(self, name: str) -> Any:
        return getattr(self.tr, name)


@pytest.fixture
def unknown(db: Any) -> Any:
    class Wrapped:
        def create_transaction(self) -> Any:
            return Patchable(db.create_transaction())

    return lambda times, applied: UnknownResult(Wrapped(), times, applied)


@pytest.mark.parametrize("request_id", [None, "r-1"])
@pytest.mark.parametrize("applied", [True, False])
@pytest.mark.parametrize("times", [1, 2])
def test_an_unknown_commit_is_applied_once(
    db: Any, wallets: Layer, unknown: Any, request_id: Any, applied: bool, times: int
) -> None:
    wallets.apply(db, Deposit("ann", 500))
    outcome = wallets.apply(unknown(times, applied), Pay("ann", 200), request_id)
    assert outcome.reply == 1
    assert outcome.tracked == (Tracked(1, Charge("ann", 200)),)
    assert wallets.view(db).balance["ann"] == 300
    assert len(list(wallets.pending(db))) == 1

    done = wallets.complete(unknown(times, applied), 1, Declined())
    assert done.untracked == (Untracked(Notify("ann", "declined")),)
    assert wallets.view(db).balance["ann"] == 500


def test_the_request_id_of_a_normal_counts(db: Any, wallets: Layer) -> None:
    deposit = Normal(Deposit("ann", 500), request_id="d")
    assert not wallets.apply(db, deposit).repeated
    assert wallets.apply(db, deposit).repeated
    assert wallets.apply(db, Deposit("ann", 500), request_id="d").repeated
    assert wallets.submit(db, deposit) == "d"
    assert wallets.view(db).balance["ann"] == 500
    with pytest.raises(InputError, match="'e', and that of the Normal is 'd'"):
        wallets.apply(db, deposit, request_id="e")
