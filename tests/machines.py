"""Small machines that the core's tests drive."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any

from phasm_fdb import (
    Actions,
    Changes,
    Counter,
    Index,
    InvariantViolation,
    Log,
    Map,
    Normal,
    State,
    StateMachine,
    Tracked,
    TrackedActionCompleted,
    TransitionError,
    Untracked,
    Value,
)


class InsufficientFunds(TransitionError):
    pass


class Status(enum.Enum):
    PENDING = "pending"
    PAID = "paid"
    DECLINED = "declined"


@dataclass(frozen=True)
class Deposit:
    user: str
    cents: int


@dataclass(frozen=True)
class Pay:
    user: str
    cents: int


@dataclass(frozen=True)
class Withdraw:
    payment: int


@dataclass(frozen=True)
class Crash:
    """Makes `stf` write, emit, and then fail as a bug would."""

    user: str


@dataclass(frozen=True)
class Payment:
    user: str
    cents: int
    status: Status


@dataclass(frozen=True)
class Charge:
    user: str
    cents: int


@dataclass(frozen=True)
class CheckCharge:
    payment: int


@dataclass(frozen=True)
class Charged:
    receipt: str


@dataclass(frozen=True)
class Declined:
    pass


@dataclass(frozen=True)
class Notify:
    user: str
    text: str


class WalletState(State):
    balance = Map(str, int)
    payments = Map(int, Payment)
    by_status = Index(payments, Status, lambda payment: payment.status)
    next_id = Counter()
    history = Log(str)


class Wallet(StateMachine):
    """The design's example: a balance, and payments that a provider has to confirm."""

    State = WalletState
    Input = Deposit | Pay | Withdraw | Crash
    TrackedAction = Charge | CheckCharge
    TrackedResult = Charged | Declined
    UntrackedAction = Notify
    max_actions = 5

    def stf(self, state: Any, input: Normal[Any] | TrackedActionCompleted[Any], actions: Actions) -> Any:
        match input:
            case Normal(Deposit(user, cents)):
                state.balance[user] = state.balance.get(user, 0) + cents
                state.history.append(f"deposit {user}")
                return state.balance[user]
            case Normal(Pay(user, cents)):
                return self.pay(state, actions, user, cents)
            case Normal(Withdraw(payment)):
                actions.cancel(payment)
                state.payments[payment] = Payment("", 0, Status.DECLINED)
                return None
            case Normal(Crash(user)):
                state.balance[user] = -1
                actions.add(Untracked(Notify(user, "crash")))
                raise ZeroDivisionError("a bug in the machine")
            case TrackedActionCompleted(id, result):
                payment = state.payments[id]
                paid = isinstance(result, Charged)
                state.payments[id] = Payment(payment.user, payment.cents, Status.PAID if paid else Status.DECLINED)
                if not paid:
                    state.balance[payment.user] = state.balance.get(payment.user, 0) + payment.cents
                actions.add(Untracked(Notify(payment.user, "paid" if paid else "declined")))
                return paid
            case _:
                raise AssertionError(input)

    def pay(self, state: Any, actions: Actions, user: str, cents: int) -> int:
        state.history.append(f"asked {user}")
        balance = state.balance.get(user, 0)
        state.balance[user] = balance - cents
        if balance < cents:
            raise InsufficientFunds(f"{user} has {balance}, not {cents}")
        id: int = state.next_id.take()
        state.payments[id] = Payment(user, cents, Status.PENDING)
        actions.add(Tracked(id, Charge(user, cents)))
        actions.add(Untracked(Notify(user, "paying")))
        return id

    def restore(self, state: Any, actions: Actions) -> None:
        actions.clear()
        for id in state.by_status.keys(Status.PENDING):
            actions.add(Tracked(id, CheckCharge(id)))

    def check_invariants(self, state: Any) -> None:
        for user, cents in state.balance.items():
            if cents < 0:
                raise InvariantViolation(f"{user} has {cents}")


class AsyncWallet(Wallet):
    """The same machine with coroutine functions."""

    name = "Wallet"

    async def stf(self, state: Any, input: Any, actions: Actions) -> Any:
        return await self.later(state, input, actions)

    async def later(self, state: Any, input: Any, actions: Actions) -> Any:
        return super().stf(state, input, actions)

    async def restore(self, state: Any, actions: Actions) -> None:
        super().restore(state, actions)


@dataclass(frozen=True)
class Job:
    name: str


@dataclass(frozen=True)
class Run:
    name: str


@dataclass(frozen=True)
class Done:
    pass


class QueueState(State):
    jobs = Map(Any, Job)
    names = Index(jobs, str, lambda job: job.name)


class Queue(StateMachine):
    """Ids by `actions.new_id()`, which no two transitions conflict on."""

    State = QueueState
    Input = Job
    TrackedAction = Run
    TrackedResult = Done
    UntrackedAction = None

    def stf(self, state: Any, input: Any, actions: Actions) -> Any:
        match input:
            case Normal(job):
                id = actions.new_id()
                state.jobs[id] = job
                actions.add(Tracked(id, Run(job.name)))
            case TrackedActionCompleted(id, _):
                del state.jobs[id]


class Strict(Wallet):
    """A wallet that books first and asks later, so that only the invariant stops it."""

    name = "Strict"

    def stf(self, state: Any, input: Any, actions: Actions) -> Any:
        if isinstance(input, Normal) and isinstance(input.payload, Pay):
            user = input.payload.user
            state.balance[user] = state.balance.get(user, 0) - input.payload.cents
            return None
        return super().stf(state, input, actions)


class StrictIncremental(Strict):
    name = "Strict"

    def check_changes(self, state: Any, changes: Changes) -> None:
        for user in changes.keys("balance"):
            assert state.balance[user] >= 0, f"{user} is below zero"


class NoteState(State):
    note = Value(str, "")
